//! The plan: from a recipe and the headers of its inputs to steps, costs and warnings, by arithmetic alone.

mod bound;
mod cost;
mod display;
mod enlarge;
mod estimate;
mod faces;
mod geometry;
mod image;
mod mapping;
mod maxima;
mod output;
mod planner;
mod rows;
mod sizes;
mod step;
mod subject;
mod types;

pub use crate::analysis::subject::SubjectMeasure;
pub use cost::{Cost, DecodeCost, EncodeCost, StepCost};
pub use enlarge::EnlargePass;
pub(crate) use geometry::border_widths;
pub use geometry::{Geometry, resolve};
pub use image::{ImageSource, PlannedImage};
pub use mapping::Mapping;
pub(crate) use mapping::decoded_scale;
pub(crate) use maxima::reduction;
pub use output::{Encoding, PlannedOutput};
pub use planner::plan;
pub use rows::RowPipeline;
pub(crate) use step::border_question;
pub use step::{
    Answers, Crop, Next, PixelSource, Placement, PlannedDraw, PlannedStep, PlannedTransform, Question,
    Scaling,
};
pub use types::{Path, Plan, PlanKind, PlannedDescription};
