"""The policies of the field: who finds equal (or similar) pages how, behind one protocol."""
