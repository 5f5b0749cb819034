"""Schema and generated code of edocnet.enrolment."""
