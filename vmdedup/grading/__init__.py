"""Exercises for a course: a policy of a student's against KSM scripts that she has not seen, with points.

engine      a policy in ksmd's place, for scripts
exercise    a script with what it gives points for
grade       a policy against all exercises of a folder
"""
