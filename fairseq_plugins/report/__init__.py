"""What runs left in their folders, as tables, statistics, files and pictures."""
