"""MPT: a posed 3D human mesh from a photo, learned from motion capture alone."""
