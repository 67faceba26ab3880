//! Logs on standard error: those of a node, or what goes wrong below a command, for whoever asks with `-v` or
//! `VALO_LOG`. Colour only where a terminal reads it and `NO_COLOR` is not set.

use super::arguments::Global;
use std::{
    fmt,
    io::{self, IsTerminal},
};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    fmt::MakeWriter,
    layer::{Context, Filter, SubscriberExt},
    util::SubscriberInitExt,
};

/// What a node logs unless asked for more: its own lines, and the errors of what it is built on.
const NODE: &str = "info,libp2p=error,iroh=error,noq=error,netwatch=error,portmapper=error,arc_malachitebft=error";

/// Starts logging, for a node or for another command.
pub fn start(global: &Global, is_node: bool) {
    let asked = std::env::var("VALO_LOG").ok();
    let level = match (is_node, global.verbose) {
        (false, 0) => "error",
        (true, 0) => NODE,
        (_, 1) => "info,valo=debug",
        (_, _) => "debug",
    };
    let everything = asked.is_some() || global.verbose > 0;
    let filter = EnvFilter::new(asked.as_deref().unwrap_or(level));
    let colour = io::stderr().is_terminal() && console::colors_enabled_stderr();
    let _ = subscriber(filter, everything, colour, io::stderr).try_init();
}

fn subscriber<W>(filter: EnvFilter, everything: bool, colour: bool, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_ansi(colour).with_writer(writer);
    Registry::default().with(filter).with(lines.with_filter(Dials { shown: everything }))
}

/// How the consensus engine says that somebody cannot be reached yet, or that nobody is there to hear it.
const UNREACHED: [&str; 3] =
    ["Error dialing peer", "Failed to dial peer", "Error publishing message: NoPeersSubscribedToTopic"];

/// Leaves out that a validator cannot be reached yet. The consensus engine calls each try an error and tries again for
/// ever, so a network that starts would fill the screen with them while nothing is wrong.
struct Dials {
    shown: bool,
}

impl<S: Subscriber> Filter<S> for Dials {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        if self.shown || !event.metadata().target().starts_with("arc_malachitebft") {
            return true;
        }
        let mut message = Message::default();
        event.record(&mut message);
        !UNREACHED.iter().any(|start| message.0.starts_with(start))
    }
}

/// The text of an event.
#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex, MutexGuard};

    /// Lines of a log.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    struct Writer<'a>(MutexGuard<'a, Vec<u8>>);

    impl io::Write for Writer<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Writer<'a>;

        fn make_writer(&'a self) -> Writer<'a> {
            Writer(self.0.lock().unwrap())
        }
    }

    fn logged(everything: bool) -> String {
        let lines = Lines::default();
        tracing::subscriber::with_default(subscriber(EnvFilter::new(NODE), everything, false, lines.clone()), || {
            tracing::info!("node started");
            tracing::error!(target: "arc_malachitebft_network", "Error dialing peer: {}", "refused");
            tracing::error!(target: "arc_malachitebft_network", "Error publishing message: NoPeersSubscribedToTopic");
            tracing::error!(target: "arc_malachitebft_network", "Error listening on {}", "/ip4/0.0.0.0");
            tracing::info!(target: "arc_malachitebft_engine", "chatter");
        });
        let text = lines.0.lock().unwrap().clone();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_node_shows_its_lines_and_real_problems_only() {
        let text = logged(false);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("node started") && text.contains("Error listening"), "{text}");
        assert_eq!(logged(true).lines().count(), 4, "all of it for whoever asks");
    }
}
