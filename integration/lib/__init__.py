"""What the integration drivers share.  Standard library only; Python 3.8 or newer."""
