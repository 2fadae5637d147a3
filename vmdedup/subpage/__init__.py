"""What is left when whole pages are shared: similar pages, patches between them, compression."""
