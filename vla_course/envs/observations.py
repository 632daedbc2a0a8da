"""What observations of all environments share: bounds, the keys of camera images, and the characters of an instruction."""

import string

MAX_ANGLE_RAD, MAX_DISTANCE_M = 10.0, 10.0  # no joint turns, and nothing on the table gets, that far
IMAGE = "image_"
"""How the key of a camera's picture begins; the camera's name follows."""
TEXT_LENGTH = 128
TEXT_CHARACTERS = string.ascii_letters + string.digits + " .,;:!?'\"()-/"
