"""WHAT is said and vouched for: canonical statements, Merkle trees and seals."""
