"""A body's motion for biomechanics: markers and joint angles, under OpenSim's names and in its axes.

Axes: x forward (who faces the camera faces +x), y up, z to the right; metres, of files whatever they say.
"""
