"""What nodes ask of the registry over gRPC: files of the directory, enrolment, endpoints."""
