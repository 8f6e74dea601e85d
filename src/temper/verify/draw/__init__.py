"""Properties (level 4): sequences of requests that Hypothesis draws and shrinks, against the door in process."""
