"""Other libraries' configurations and faces over the same recipes and plans."""
