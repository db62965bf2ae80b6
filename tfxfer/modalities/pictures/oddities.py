"""The oddities that a usable picture may have, and the size of its thumbnail."""

from __future__ import annotations

# Each oddity has a short name and an explanation for people.
ODDITIES = {
    "wrong ending": "the file's ending names another format than its content",
    "animated": "only the first frame is used",
    "cmyk": "made for print; colours are converted roughly",
    "16 bit": "the lower half of its values is dropped",
    "dark": "nearly black: of its 16 bits, only low ones are used, as in counts of 12 bits; "
    "multiply its values (12 bits: by 16) and save it again",
    "grey": "has no colours",
    "transparent": "laid over white",
    "palette": "few colours",
    "turned": "stored on its side; turned upright as its EXIF data say",
    "gigantic": "takes long to decode; smaller files train as well",
    "tiny": "a side of fewer than 32 pixels",
    "narrow": "one side is more than four times the other",
    "constant": "of one colour",
}


# This is the side of a picture's thumbnail, by which its copies are recognised.
THUMBNAIL_PX = 16
