//! Simulators of Norce and of the ERPs, and what the suites share.

pub mod norce_simulator;
