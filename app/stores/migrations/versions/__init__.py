"""One file for each step. What has been run somewhere is never edited."""
