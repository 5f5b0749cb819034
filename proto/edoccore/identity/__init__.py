"""Who is who: codes of agencies, the profile of their certificates, and their keys."""
