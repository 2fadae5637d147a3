"""UKSM: a ladder of regions, sampled, and hashes of a part of each page. Source: xia2018; its kernel patch 0.1.2.6."""
