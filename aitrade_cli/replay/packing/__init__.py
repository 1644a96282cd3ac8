"""Make rows and frames smaller, and find them again."""
