"""HTML to text: characters, blocks, features, the cascade's model, and the fence around it all.

Nothing here imports Ray, torch or spaCy: the fence's child process must start in a fraction of a second.
"""

from pathlib import Path

WEIGHTS = Path(__file__).with_name("cascade.npz")  # of the cascade's model
