"""Files of Gatan's software: dm3, dm4 and dm5."""
