"""What Heptad reports about itself: its log and its metrics."""
