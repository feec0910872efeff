//! Walks on a graph to a goal.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use dqn_mdp::{MdpError, Outcome, Start};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Choice, Game, GamePlayer, IN_EPISODE, Play, Turn};
use crate::{EnvError, start};

/// Settings of walks on a graph.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RandomWalkConfig {
    /// The nodes an edge leads to, for every node but the goal. Default: the 21 nodes a to u of trlx's example, drawn
    /// there with the seed 1000.
    pub graph: BTreeMap<String, Vec<String>>,
    /// The node where walks end. Default `a`.
    pub goal: String,
    /// Nodes of the longest walk, the first and the last one counted. Default 10.
    #[schemars(range(min = 2))]
    pub max_nodes: usize,
    /// What is paid. Default `goal`.
    pub reward: WalkReward,
    /// What one action is. Default `whole_action`.
    pub play: Play,
}

impl Default for RandomWalkConfig {
    fn default() -> Self {
        let letters = |nodes: &str| nodes.chars().map(String::from).collect();
        let edges = TRLX.split(' ').filter_map(|node| node.split_once(':'));
        Self {
            graph: edges.map(|(node, next)| (node.to_owned(), letters(next))).collect(),
            goal: "a".to_owned(),
            max_nodes: 10,
            reward: WalkReward::Goal,
            play: Play::Whole,
        }
    }
}

/// The graph of trlx's example: each node with the nodes its edges lead to.
const TRLX: &str = "b:dju c:ekor d:alt e:bs f:dhim g:cqru h:c i:dh j:n k:bgjn l:b m:befghs n:ab o:r p:ju q:fj r:gjo \
                    s:du t:k u:bis";

/// What a walk is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WalkReward {
    /// 1 at the goal, else 0: what is still to come depends on the present node only, and a discount below 1 asks for
    /// short walks. A walk that is too long is truncated, since the limit is no part of that.
    Goal,
    /// The optimality of the walk at its end: what is still to come depends on the first node and the length so far
    /// too. A walk that is too long is over with 0, which terminates.
    Optimality,
}

/// Walks along the edges of a graph.
///
/// ```text
/// shown    the first node, "b\n"
/// command  the next node, "d\n"; the answer is empty
/// reward   by the setting: 1 at the goal, or the optimality of the walk at its end
/// end      at the goal and, with reward 0, after a step along no edge or a text that is no node (all terminate); at
///          max_nodes nodes elsewhere, as the reward says
/// ```
///
/// Start `i` is the `i`-th node but the goal, in the order of their names. [`Game::score`] is the [`optimality`] of the
/// walk, 0 while it is not at the goal. On the default graph walks along uniformly drawn edges reach it in 56 % and
/// have a mean optimality of .35.
///
/// Source: the example `randomwalks` of CarperAI's trlx, after Chen et al. 2021, "Decision Transformer", section 3.
#[derive(Clone, Debug)]
pub struct RandomWalk {
    commands: Vec<String>,
    /// For each node the nodes its edges lead to; the nodes are numbered as the commands are.
    edges: Vec<Vec<usize>>,
    goal: usize,
    max_nodes: usize,
    reward: WalkReward,
    /// Nodes of the shortest walk from each node to the goal, both counted.
    shortest: Vec<usize>,
    starts: Vec<usize>,
    /// The nodes of the walk, kept after its end for the score.
    walk: Vec<usize>,
    is_on: bool,
}

/// How near a walk comes to the shortest one, from 0 to 1.
///
/// ```text
/// (max_nodes - n_nodes) / (max_nodes - shortest)
/// ```
///
/// `n_nodes` are the nodes of a walk that has reached the goal and `shortest` those of the shortest walk from its first
/// node. One that has not reached it has the optimality 0.
///
/// # Panics
/// When `n_nodes` is not between `shortest` and `max_nodes`, or `shortest` is not below `max_nodes`.
pub fn optimality(n_nodes: usize, shortest: usize, max_nodes: usize) -> f64 {
    assert!(
        shortest <= n_nodes && n_nodes <= max_nodes && shortest < max_nodes,
        "{n_nodes} nodes, {shortest} at least and {max_nodes} at most"
    );
    (max_nodes - n_nodes) as f64 / (max_nodes - shortest) as f64
}

impl RandomWalkConfig {
    /// The walks.
    ///
    /// # Errors
    /// [`EnvError::GameValue`] for a graph on which not every walk can reach the goal in time, and for names that are
    /// no words.
    pub fn build(&self) -> Result<Box<dyn Game>, EnvError> {
        Ok(Box::new(RandomWalk::new(self)?))
    }
}

impl RandomWalk {
    /// The walks of these settings.
    ///
    /// # Errors
    /// As [`RandomWalkConfig::build`].
    pub fn new(config: &RandomWalkConfig) -> Result<Self, EnvError> {
        let fault = |key: &str, found: &str, allowed| EnvError::game_value("walk", key, format!("{found:?}"), allowed);
        let named = config.graph.iter().flat_map(|(node, next)| next.iter().chain([node]));
        let names: Vec<&String> = named.chain([&config.goal]).collect::<BTreeSet<_>>().into_iter().collect();
        if let Some(name) = names.iter().find(|name| name.is_empty() || name.contains(char::is_whitespace)) {
            return Err(fault("graph", name, "names of at least one character and without white space"));
        }
        let index = |name: &String| names.binary_search(&name).expect("all names were collected");
        let goal = index(&config.goal);
        let edges: Vec<Vec<usize>> = names
            .iter()
            .map(|&name| config.graph.get(name).map_or_else(Vec::new, |next| next.iter().map(index).collect()))
            .collect();
        if !edges[goal].is_empty() {
            return Err(fault("goal", &config.goal, "a node without edges: walks end there"));
        }
        let starts: Vec<usize> = (0..names.len()).filter(|&node| node != goal).collect();
        if starts.is_empty() {
            return Err(EnvError::NoStarts { what: "nodes to start at" });
        }
        let shortest = nodes_to_goal(&edges, goal);
        let is_far = |node: &usize| shortest[*node].is_none_or(|n_nodes| n_nodes >= config.max_nodes);
        if let Some(&node) = starts.iter().find(|node| is_far(node)) {
            return Err(fault(
                "graph",
                names[node],
                "nodes from which the goal is reached in fewer than max_nodes nodes",
            ));
        }
        Ok(Self {
            commands: names.iter().map(|name| format!("{name}\n")).collect(),
            edges,
            goal,
            max_nodes: config.max_nodes,
            reward: config.reward,
            shortest: shortest.into_iter().map(|n_nodes| n_nodes.unwrap_or(usize::MAX)).collect(),
            starts,
            walk: Vec::new(),
            is_on: false,
        })
    }

    fn here(&self) -> usize {
        assert!(self.is_on, "{IN_EPISODE}");
        self.walk[self.walk.len() - 1]
    }

    fn walk_optimality(&self) -> f64 {
        match self.walk.as_slice() {
            [first, .., last] if *last == self.goal => {
                optimality(self.walk.len(), self.shortest[*first], self.max_nodes)
            }
            _ => 0.0,
        }
    }
}

/// Nodes of the shortest walk from each node to `goal`, `None` where there is none: breadth first against the edges.
fn nodes_to_goal(edges: &[Vec<usize>], goal: usize) -> Vec<Option<usize>> {
    let mut shortest = vec![None; edges.len()];
    let mut queue = VecDeque::from([(goal, 1)]);
    while let Some((node, n_nodes)) = queue.pop_front() {
        if shortest[node].is_none() {
            shortest[node] = Some(n_nodes);
            queue.extend((0..edges.len()).filter(|&from| edges[from].contains(&node)).map(|from| (from, n_nodes + 1)));
        }
    }
    shortest
}

impl Game for RandomWalk {
    fn boxed_clone(&self) -> Box<dyn Game> {
        Box::new(self.clone())
    }

    fn commands(&self) -> &[String] {
        &self.commands
    }

    fn n_starts(&self) -> usize {
        self.starts.len()
    }

    fn reset(&mut self, start: Start) -> Result<String, MdpError> {
        let first = self.starts[start::index(start, self.starts.len())?];
        self.walk = vec![first];
        self.is_on = true;
        Ok(self.commands[first].clone())
    }

    fn act(&mut self, command: &str) -> Turn {
        let here = self.here();
        let next = self.commands.iter().position(|known| known == command);
        let next = next.filter(|next| self.edges[here].contains(next));
        let outcome = match next {
            None => Outcome::Terminated,
            Some(next) => {
                self.walk.push(next);
                if next == self.goal {
                    Outcome::Terminated
                } else if self.walk.len() < self.max_nodes {
                    Outcome::Continues
                } else {
                    match self.reward {
                        WalkReward::Goal => Outcome::Truncated,
                        WalkReward::Optimality => Outcome::Terminated,
                    }
                }
            }
        };
        self.is_on = !outcome.is_end();
        let reward = match self.reward {
            WalkReward::Goal if next == Some(self.goal) => 1.0,
            WalkReward::Goal => 0.0,
            WalkReward::Optimality => self.walk_optimality() as f32,
        };
        Turn { reward, text: String::new(), outcome }
    }

    fn suggest(&mut self, player: GamePlayer, rng: &mut ChaCha8Rng) -> usize {
        let edges = &self.edges[self.here()];
        match player.choice(rng) {
            Choice::Random => edges[rng.random_range(0..edges.len())],
            // Of several shortest walks the one whose next node comes first among the edges.
            Choice::Skilled | Choice::Expert => {
                *edges.iter().min_by_key(|&&next| self.shortest[next]).expect("every node but the goal has edges")
            }
        }
    }

    fn texts(&self) -> Vec<String> {
        self.commands.clone()
    }

    fn score(&self) -> Option<f64> {
        Some(self.walk_optimality())
    }
}

#[cfg(test)]
mod tests {
    use dqn_mdp::Seed;
    use serde_json::json;

    use super::super::record;
    use super::*;

    fn walks(value: serde_json::Value) -> RandomWalk {
        RandomWalk::new(&serde_json::from_value(value).unwrap()).unwrap()
    }

    #[test]
    fn shortest_walks_are_those_of_the_reference_graph() {
        let game = walks(json!({}));
        // By hand: d and n lead to a, the nodes with an edge to one of them come next, and so on.
        let by_length: [&str; 6] = ["", "a", "dn", "bfijks", "celmptqru", "goh"];
        let found: Vec<usize> = game.shortest.clone();
        for (n_nodes, nodes) in by_length.iter().enumerate() {
            for node in nodes.bytes() {
                let index = usize::from(node - b'a');
                assert_eq!(found[index], n_nodes_by_search(&game, index), "{}", char::from(node));
                assert_eq!(found[index], n_nodes, "{}", char::from(node));
            }
        }
        assert_eq!(by_length.concat().len(), 21);
    }

    /// The same by trying all walks, shorter ones first.
    fn n_nodes_by_search(game: &RandomWalk, node: usize) -> usize {
        let mut ends = BTreeSet::from([node]);
        for n_nodes in 1.. {
            if ends.contains(&game.goal) {
                return n_nodes;
            }
            ends = ends.iter().flat_map(|&end| game.edges[end].clone()).collect();
        }
        unreachable!()
    }

    #[test]
    fn optimality_is_one_for_the_shortest_and_zero_for_the_longest_walk() {
        for (n_nodes, shortest, expected) in
            [(2, 2, 1.0), (10, 2, 0.0), (6, 2, 0.5), (4, 4, 1.0), (7, 4, 0.5), (9, 4, 1.0 / 6.0), (10, 9, 0.0)]
        {
            assert_eq!(optimality(n_nodes, shortest, 10), expected, "{n_nodes} nodes instead of {shortest}");
        }
    }

    /// The turns of a walk that begins at `first`, with the score after each.
    fn walk(game: &mut RandomWalk, first: &str, nodes: &[&str]) -> Vec<(f32, Outcome, f64)> {
        let start = game.starts.iter().position(|&node| game.commands[node] == format!("{first}\n")).unwrap();
        assert_eq!(game.reset(Start::Indexed(start)).unwrap(), format!("{first}\n"));
        let mut turn = |node: &&str| {
            let turn = game.act(&format!("{node}\n"));
            assert_eq!(turn.text, "");
            (turn.reward, turn.outcome, game.score().unwrap())
        };
        nodes.iter().map(&mut turn).collect()
    }

    #[test]
    fn walks_are_paid_at_the_goal_or_by_their_optimality() {
        use Outcome::{Continues, Terminated, Truncated};
        let long = ["u", "s", "u", "s", "u", "s", "u", "s", "u"];
        for (reward, first, nodes, expected, outcome, score) in [
            ("goal", "b", &["d", "a"][..], 1.0, Terminated, 1.0),
            ("optimality", "b", &["d", "a"], 1.0, Terminated, 1.0),
            // 4 nodes more than the 3 of the shortest walk.
            ("goal", "b", &["u", "s", "u", "b", "d", "a"], 1.0, Terminated, 3.0 / 7.0),
            ("optimality", "b", &["u", "s", "u", "b", "d", "a"], 3.0 / 7.0, Terminated, 3.0 / 7.0),
            ("goal", "b", &["a"], 0.0, Terminated, 0.0),
            ("optimality", "b", &["z"], 0.0, Terminated, 0.0),
            ("goal", "b", &long, 0.0, Truncated, 0.0),
            ("optimality", "b", &long, 0.0, Terminated, 0.0),
        ] {
            let turns = walk(&mut walks(json!({ "reward": reward })), first, nodes);
            let (last, before) = turns.split_last().unwrap();
            assert!(before.iter().all(|turn| *turn == (0.0, Continues, 0.0)), "{reward} {nodes:?}");
            assert_eq!(*last, (expected as f32, outcome, score), "{reward} {nodes:?}");
        }
    }

    #[test]
    fn uniform_walks_have_the_published_optimality() {
        let mut game = walks(json!({}));
        for seed in 0..5 {
            let mut rng = Seed(seed).stream("test");
            let scores: Vec<f64> = (0..1_000)
                .map(|_| {
                    let start = Start::Drawn(Seed(rng.random()));
                    record(&mut game, GamePlayer::Random {}, start, &mut rng).unwrap().score.unwrap()
                })
                .collect();
            let mean = scores.iter().sum::<f64>() / 1_000.0;
            // Four standard errors of a mean of 1,000 scores between 0 and 1 are at most .063.
            assert!((mean - 0.35).abs() < 0.05, "seed {seed}: {mean}");
            let optimal = scores.iter().filter(|&&score| score == 1.0).count() as f64 / 1_000.0;
            assert!((optimal - 0.18).abs() < 0.05, "seed {seed}: {optimal}");
        }
    }

    /// Probability that a uniform walk reaches the goal, and its mean optimality, by carrying the probabilities of all
    /// nodes through the steps.
    fn exact(game: &RandomWalk) -> (f64, f64) {
        let (mut reaches, mut optimal) = (0.0, 0.0);
        for &start in &game.starts {
            let mut mass = vec![0.0; game.edges.len()];
            mass[start] = 1.0 / game.starts.len() as f64;
            for n_nodes in 2..=game.max_nodes {
                let mut next = vec![0.0; mass.len()];
                for (node, &probability) in mass.iter().enumerate() {
                    game.edges[node].iter().for_each(|&to| next[to] += probability / game.edges[node].len() as f64);
                }
                let arrived = std::mem::take(&mut next[game.goal]);
                reaches += arrived;
                optimal +=
                    arrived * optimality(n_nodes.max(game.shortest[start]), game.shortest[start], game.max_nodes);
                mass = next;
            }
        }
        (reaches, optimal)
    }

    #[test]
    fn computed_and_played_walks_agree() {
        let mut game = walks(json!({}));
        let (reaches, mean) = exact(&game);
        assert!((reaches - 0.56).abs() < 0.01 && (mean - 0.35).abs() < 0.01, "{reaches}, {mean}");
        let mut rng = Seed(9).stream("test");
        let n_walks = 20_000;
        let (mut n_reached, mut total) = (0, 0.0);
        for index in 0..n_walks {
            let episode = record(&mut game, GamePlayer::Random {}, Start::Indexed(index % 20), &mut rng).unwrap();
            n_reached += usize::from(episode.outcome == Outcome::Terminated);
            total += episode.score.unwrap();
        }
        // Four standard errors of 20,000 values between 0 and 1 are at most .0142.
        assert!((n_reached as f64 / n_walks as f64 - reaches).abs() < 0.0142);
        assert!((total / n_walks as f64 - mean).abs() < 0.0142);
    }

    #[test]
    fn experts_walk_optimally_from_every_node() {
        for player in [GamePlayer::Skilled {}, GamePlayer::Expert {}] {
            let mut game = walks(json!({ "reward": "optimality" }));
            assert_eq!((game.n_starts(), game.commands().len()), (20, 21));
            for start in 0..20 {
                let mut rng = Seed(0).stream("test");
                let episode = record(&mut game, player, Start::Indexed(start), &mut rng).unwrap();
                assert_eq!((episode.score, episode.episode_return()), (Some(1.0), 1.0));
            }
        }
    }

    #[test]
    fn graphs_on_which_walks_get_lost_are_refused() {
        let message = |graph: serde_json::Value, max_nodes: usize| {
            let config = json!({ "graph": graph, "goal": "a", "max_nodes": max_nodes });
            RandomWalk::new(&serde_json::from_value(config).unwrap()).unwrap_err().to_string()
        };
        let reach = "it must be nodes from which the goal is reached in fewer than max_nodes nodes";
        assert_eq!(message(json!({ "b": ["a"], "c": ["c"] }), 10), format!("the walk has graph = \"c\"; {reach}"));
        assert_eq!(message(json!({ "b": ["a", "d"] }), 10), format!("the walk has graph = \"d\"; {reach}"));
        assert_eq!(message(json!({ "b": ["a"], "c": ["b"] }), 3), format!("the walk has graph = \"c\"; {reach}"));
        assert_eq!(
            message(json!({ "a": ["b"], "b": ["a"] }), 10),
            "the walk has goal = \"a\"; it must be a node without edges: walks end there"
        );
        assert_eq!(
            message(json!({ "b c": ["a"] }), 10),
            "the walk has graph = \"b c\"; it must be names of at least one character and without white space"
        );
        assert_eq!(message(json!({}), 10), "the environment has no nodes to start at; at least one is needed");
        assert_eq!(serde_json::from_value::<RandomWalkConfig>(json!({})).unwrap(), RandomWalkConfig::default());
    }
}
