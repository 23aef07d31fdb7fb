"""Films: a phone's video, a numbered folder or a webcam -> people who move, each a body of one shape."""
