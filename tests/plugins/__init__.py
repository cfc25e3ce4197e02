"""What pytest itself is taught by this project."""
