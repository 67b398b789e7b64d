//! Scenarios on the cluster of real machines, named after the promise they prove.
