"""What Heptad reports of itself: its log and its metrics."""
