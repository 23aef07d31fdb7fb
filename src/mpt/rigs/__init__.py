"""A body's pose as a rig that other programs can pose: GLB, BVH, FBX."""
