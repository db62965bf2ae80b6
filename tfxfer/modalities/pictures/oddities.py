"""What may be unusual about a picture that can be used."""

from __future__ import annotations

# What may be unusual about a picture that can be used.
ODDITIES = {
    "wrong ending": "the file's ending names another format than its content",
    "animated": "only the first frame is used",
    "cmyk": "made for print; colours are converted roughly",
    "16 bit": "the lower half of its values is dropped",
    "grey": "has no colours",
    "transparent": "laid over white",
    "palette": "few colours",
    "turned": "stored on its side; turned upright as its EXIF data say",
    "gigantic": "takes long to decode; smaller files train as well",
    "tiny": "a side of fewer than 32 pixels",
    "narrow": "one side is more than four times the other",
    "constant": "of one colour",
}


# A picture's small copy, by which copies of it are told.
THUMBNAIL_PX = 16
