"""Take drafts durably; send each as often as it should be: once. Lanes, pacing, retries, recovery."""
