//! x

pub mod business_central_simulator;
