"""Find what a program's time and memory go to, and what to change. No edit of the program."""
