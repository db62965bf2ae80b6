"""Tables, files and figures for people, made from records and a run folder alone."""
