"""What real peers do where they disagree: ``observations`` is what came, ``servers`` and ``clients`` run the peers to
see it, ``document`` makes the tables of docs/peers.md from it. `scripts/peers.py` is the command."""
