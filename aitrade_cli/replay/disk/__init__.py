"""The part of a store that lies in a folder."""
