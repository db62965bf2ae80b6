"""The embedded default data set: rendered pictures of invented bird species."""
