"""What tests are made with: small runs, writers of dumps, second engines, samples."""
