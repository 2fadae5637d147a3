"""Real guests from nothing to results to nothing left, by Ansible: its inventory, its runs, what it says.

The playbooks and roles stand in ansible/ at the top of the repository, and in the wheel.
"""
