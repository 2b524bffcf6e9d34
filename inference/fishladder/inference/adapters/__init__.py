"""What differs between detector models: how a picture is fed, and how boxes are read from what comes out."""
