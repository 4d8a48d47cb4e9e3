//! Model files, and networks with fixed input sizes, whose memory is reserved before a run.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use imaging::Error;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::plan::{SimpleState, eval};
use tract_onnx::tract_hir::infer::Factoid;
use tract_onnx::tract_hir::internal::DimLike;
use work::Work;

use crate::LoadError;

/// Lengths of the four axes: batch, channels, height, width.
pub(crate) type Shape = [usize; 4];

/// A parsed model file; its input size may be dynamic. Only its last output is used.
pub(crate) struct File {
    path: PathBuf,
    model: InferenceModel,
    /// Lengths of the axes of the single input; `None` for dynamic ones.
    pub(crate) input: [Option<usize>; 4],
    /// Operator that computes the last output.
    pub(crate) last_operator: String,
}

impl File {
    /// Reads a file. `expected` describes the expected shape for messages.
    ///
    /// # Errors
    /// [`LoadError::Unreadable`], and [`LoadError::Shape`] for all but one input of four axes.
    pub(crate) fn read(path: &Path, expected: &'static str) -> Result<Self, LoadError> {
        let (model, last_operator) =
            guarded(path, || parse(path).map_err(|e| LoadError::unreadable(path, format!("{e:#}"))))?;
        let shape = |found: String| LoadError::Shape { path: path.to_owned(), found, expected };
        let inputs = model.inputs.len();
        if inputs != 1 {
            return Err(shape(format!("it has {inputs} inputs")));
        }
        let fact = model.input_fact(0).map_err(|e| LoadError::unreadable(path, e))?;
        if let Some(kind) = fact.datum_type.concretize()
            && kind != f32::datum_type()
        {
            return Err(shape(format!("its input is {kind:?}, not 32-bit floats")));
        }
        let axes: Vec<Option<usize>> =
            fact.shape.dims().map(|d| d.concretize().and_then(|d| d.to_usize().ok())).collect();
        let input = axes.try_into().map_err(|_| shape(format!("its input is {:?}", fact.shape)))?;
        Ok(Self { path: path.to_owned(), model, input, last_operator })
    }

    /// The network for inputs of exactly this shape.
    ///
    /// # Errors
    /// [`LoadError::Unreadable`] for unknown or incompatible operators; [`LoadError::Shape`] for
    /// an output that does not have four axes of floats.
    pub(crate) fn fixed(self, input: Shape, expected: &'static str) -> Result<Network, LoadError> {
        let Self { path, model, .. } = self;
        let typed = guarded(&path, || {
            let last = model.output_outlets().ok().and_then(|o| o.last()).copied();
            let last = last.ok_or_else(|| LoadError::unreadable(&path, "it has no output"))?;
            let fixed = model
                .with_output_outlets(&[last])
                .and_then(|m| m.with_input_fact(0, f32::fact(input).into()))
                .and_then(InferenceModelExt::into_optimized);
            fixed.map_err(|e| LoadError::unreadable(&path, format!("{e:#}")))
        })?;
        let fact = typed.output_fact(0).map_err(|e| LoadError::unreadable(&path, e))?;
        let output = fact.shape.as_concrete().and_then(|s| Shape::try_from(s).ok());
        let floats = fact.datum_type == f32::datum_type();
        let Some(output) = output.filter(|_| floats) else {
            let found = format!("its last output for an input of {} is {fact:?}", text(input));
            return Err(LoadError::Shape { path, found, expected });
        };
        let plan = typed.into_runnable().map_err(|e| LoadError::unreadable(&path, e))?;
        let bytes = run_bytes(&plan).map_err(|e| LoadError::unreadable(&path, e))?;
        Ok(Network { path, plan, input, output, bytes })
    }
}

/// A network for inputs of one shape.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) path: PathBuf,
    plan: Arc<TypedRunnableModel>,
    pub(crate) input: Shape,
    pub(crate) output: Shape,
    /// Peak bytes of all tensors during a run, without the weights.
    pub(crate) bytes: u64,
}

impl Network {
    /// Runs it. `input` and the result are in the order of their shapes, the last axis first. `option` is named in
    /// errors. Cancellation and deadline are checked between operators.
    ///
    /// # Errors
    /// [`Error::Model`] for a failure, and for NaN and infinities; budget, deadline and cancellation.
    pub(crate) fn run(&self, input: &[f32], option: &'static str, work: &Work) -> Result<Vec<f32>, Error> {
        work.check()?;
        let _held = work.take(usize::try_from(self.bytes).unwrap_or(usize::MAX))?;
        let mut stopped = None;
        let done = Tensor::from_shape(&self.input, input).and_then(|tensor| {
            let mut state = SimpleState::new(&self.plan)?;
            state.run_plan_with_eval(tvec!(tensor.into()), |context, op_state, node, inputs| {
                if let Err(why) = work.check() {
                    stopped = Some(why);
                    return Err(TractError::msg("stopped"));
                }
                eval(context, op_state, node, inputs)
            })
        });
        if let Some(why) = stopped {
            return Err(why.into());
        }
        work.check()?;
        let failed = |reason: String| Error::Model { option, reason };
        let outputs = done.map_err(|e| failed(e.to_string()))?;
        let view = outputs.first().map(|t| t.try_as_plain_ram().and_then(|v| v.as_slice::<f32>()));
        let numbers = match view {
            Some(Ok(numbers)) if numbers.len() == self.output.iter().product::<usize>() => numbers,
            _ => return Err(failed("the shape of its output differs from the announced shape".to_owned())),
        };
        if !numbers.iter().all(|v| v.is_finite()) {
            return Err(failed("its output contains NaN or infinities".to_owned()));
        }
        Ok(numbers.to_vec())
    }
}

/// `1×3×1024×1024`.
pub(crate) fn text(shape: Shape) -> String {
    shape.map(|n| n.to_string()).join("×")
}

fn parse(path: &Path) -> TractResult<(InferenceModel, String)> {
    // Intermediate shapes in a file are hints, often for another input size.
    let onnx = tract_onnx::onnx().with_ignore_value_info(true);
    let proto = onnx.proto_model_for_path(path)?;
    let graph = proto.graph.as_ref();
    let last = graph.and_then(|g| g.output.last()).map(|o| o.name.as_str()).unwrap_or_default();
    let operator = graph
        .and_then(|g| g.node.iter().find(|n| n.output.iter().any(|o| o == last)))
        .map(|n| n.op_type.clone());
    let parsed = onnx.parse(&proto, path.parent().and_then(Path::to_str))?;
    if !parsed.unresolved_inputs.is_empty() {
        return Err(TractError::msg(format!("no operator computes {}", parsed.unresolved_inputs.join(", "))));
    }
    Ok((parsed.model, operator.unwrap_or_default()))
}

/// Reports a file that makes the library panic as unreadable.
fn guarded<T>(path: &Path, read: impl FnOnce() -> Result<T, LoadError>) -> Result<T, LoadError> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(LoadError::unreadable(path, "it is malformed")))
}

/// Peak bytes of the live tensors, and half of that again for the operators' own buffers. One more input and output are
/// counted for the caller's.
fn run_bytes(plan: &TypedRunnableModel) -> TractResult<u64> {
    let model = plan.model();
    let order = plan.order_without_consts();
    let steps = model.eval_tmp_memory_usage(order, |node| !node.op_is::<Const>())?;
    let mut most = 0;
    for (_, bytes) in steps {
        most = most.max(bytes.to_i64()?.max(0) as u64);
    }
    let mut io_bytes = 0;
    for fact in [model.input_fact(0)?, model.output_fact(0)?] {
        io_bytes += fact.mem_size().to_i64()?.max(0) as u64;
    }
    Ok(most + most / 2 + io_bytes)
}
