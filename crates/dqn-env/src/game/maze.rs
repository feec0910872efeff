//! A maze described in words.

use std::collections::VecDeque;

use dqn_mdp::{MdpError, Outcome, Start};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Choice, Game, GamePlayer, IN_EPISODE, Play, Turn};
use crate::{EnvError, start};

/// Settings of a maze.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MazeConfig {
    /// The map. Default `{ name = "double-t" }`, the one the published results are for.
    pub map: MazeMap,
    /// Where episodes begin. Default `map`: where the map says.
    pub starts: MazeStarts,
    /// What the player is told. Default `full`: the goal, the position and the walls.
    pub observation: MazeObservation,
    /// Commands after which the next one fails. Default 100, as in LMRL-Gym.
    #[schemars(range(min = 1))]
    pub max_steps: usize,
    /// What one action is. Default `whole_action`.
    pub play: Play,
}

impl Default for MazeConfig {
    fn default() -> Self {
        Self {
            map: MazeMap::Name(MazeName::DoubleT),
            starts: MazeStarts::Map,
            observation: MazeObservation::Full,
            max_steps: 100,
            play: Play::Whole,
        }
    }
}

/// Which map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MazeMap {
    /// A map that comes with the program: `double-t` or `umaze`.
    Name(MazeName),
    /// A map of one's own.
    Own(MazeRows),
}

/// The maps that come with the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MazeName {
    /// Two T-shaped corridors that meet above the goal: 26 free cells in 10 rows and 13 columns, goal (8, 6), starts in
    /// all other cells.
    DoubleT,
    /// Three sides of a square: 7 free cells in 5 rows and columns, goal (3, 3), start (3, 1).
    Umaze,
}

/// A map of one's own. Cells are named by row and column, counted from 0 at the upper left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MazeRows {
    /// One text for each row, all equally long: `1` is a wall and `0` is free. Beyond the edge is wall.
    pub rows: Vec<String>,
    /// The goal, a free cell.
    pub goal: (usize, usize),
    /// Where episodes begin: free cells beside the goal, from which it can be reached. Default: all of them.
    #[serde(default)]
    pub starts: Option<Vec<(usize, usize)>>,
}

/// Where the episodes of a maze begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MazeStarts {
    /// Where the map says.
    Map,
    /// In every free cell but the goal.
    All,
}

/// What the player of a maze is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MazeObservation {
    /// The goal, the position and the walls beside it: the last text tells the state.
    Full,
    /// The walls only: who keeps no memory mistakes one cell for another.
    Partial,
}

const DOUBLE_T: [&str; 10] = [
    "1111111111111",
    "1000001000001",
    "1110111110111",
    "1110111110111",
    "1110111110111",
    "1110000000111",
    "1111110111111",
    "1111110111111",
    "1111110111111",
    "1111111111111",
];
const UMAZE: [&str; 5] = ["11111", "10001", "10101", "10101", "11111"];

type Cell = (usize, usize);

/// The moves in the order of the commands, each as a change of row and column.
const MOVES: [(&str, isize, isize); 4] =
    [("move left\n", 0, -1), ("move right\n", 0, 1), ("move up\n", -1, 0), ("move down\n", 1, 0)];

/// The sides in the order in which walls are named, each with the index of the move against it.
const SIDES: [(&str, usize); 4] = [("to your right", 1), ("to your left", 0), ("above you", 2), ("below you", 3)];

const REWARD_OF_STEP: f32 = -1.0;
const REWARD_OF_NONSENSE: f32 = -4.0;
const SUCCESS: &str = "Success\n";
const FAILURE: &str = "Failure\n";

/// A maze that is described in words.
///
/// ```text
/// shown    full: "The goal is at position 8, 6. Your current position is at position 1, 1 0. There are walls ...\n";
///          partial: the sentence on walls only
/// command  "move left\n", "move right\n", "move up\n", "move down\n"; against a wall one stays
/// reward   0 at the goal, -4 for any other text, else -1
/// end      at the goal ("Success\n", terminates); after max_steps commands the next one, whatever it is, answers
///          "Failure\n" with reward -1 and truncates
/// ```
///
/// The digits of a number stand apart. A text that is none of the commands moves nothing and counts as a step. With
/// legal moves the lowest return is `-(max_steps + 1)`, -101 by default. On the map `double-t` the best policy returns
/// -6.84 on average over the 25 starts and one that draws its moves uniformly -85.89; when only walls are shown, the
/// best policy with memory returns -7.24.
///
/// Source: Abdulhai et al. 2023, "LMRL Gym: Benchmarks for Multi-Turn Reinforcement Learning with Language Models",
/// whose environment lets the step limit terminate; here it truncates, because the value of a cell does not depend on
/// the time left.
#[derive(Clone, Debug)]
pub struct Maze {
    commands: Vec<String>,
    starts: Vec<Cell>,
    goal: Cell,
    observation: MazeObservation,
    max_steps: usize,
    /// The moves to the goal from each cell, by row and column; `None` for walls and for what the goal is cut off from.
    distances: Vec<Vec<Option<usize>>>,
    is_free: Vec<Vec<bool>>,
    /// The cell and the number of commands taken, `None` outside an episode.
    present: Option<(Cell, usize)>,
}

impl MazeConfig {
    /// The maze.
    ///
    /// # Errors
    /// [`EnvError::GameValue`] for a map that is no maze and for a limit of 0 steps.
    pub fn build(&self) -> Result<Box<dyn Game>, EnvError> {
        Ok(Box::new(Maze::new(self)?))
    }
}

impl Maze {
    /// The maze of these settings.
    ///
    /// # Errors
    /// As [`MazeConfig::build`].
    pub fn new(config: &MazeConfig) -> Result<Self, EnvError> {
        if config.max_steps == 0 {
            return Err(EnvError::game_value("maze", "max_steps", 0, "at least 1"));
        }
        let own = |rows: &[&str], goal, starts| MazeRows {
            rows: rows.iter().map(|&row| row.to_owned()).collect(),
            goal,
            starts,
        };
        let map = match &config.map {
            MazeMap::Name(MazeName::DoubleT) => own(&DOUBLE_T, (8, 6), None),
            MazeMap::Name(MazeName::Umaze) => own(&UMAZE, (3, 3), Some(vec![(3, 1)])),
            MazeMap::Own(map) => map.clone(),
        };
        let is_free = free_cells(&map.rows)?;
        let mut maze = Self {
            commands: MOVES.iter().map(|(command, _, _)| (*command).to_owned()).collect(),
            starts: Vec::new(),
            goal: map.goal,
            observation: config.observation,
            max_steps: config.max_steps,
            distances: is_free.iter().map(|row| vec![None; row.len()]).collect(),
            is_free,
            present: None,
        };
        if !maze.is_free(map.goal) {
            return Err(EnvError::game_value("maze", "map.goal", format!("{:?}", map.goal), "a free cell of the map"));
        }
        maze.measure_distances();
        maze.starts = match map.starts {
            Some(starts) if config.starts == MazeStarts::Map => starts,
            _ => maze.cells().filter(|&cell| cell != map.goal).collect(),
        };
        if maze.starts.is_empty() {
            return Err(EnvError::NoStarts { what: "cells to start in" });
        }
        if let Some(cell) = maze.starts.iter().find(|&&cell| cell == map.goal || maze.distance(cell).is_none()) {
            let allowed = "free cells beside the goal, from which it can be reached";
            return Err(EnvError::game_value("maze", "map.starts", format!("{cell:?}"), allowed));
        }
        Ok(maze)
    }

    fn is_free(&self, (row, column): Cell) -> bool {
        self.is_free.get(row).and_then(|cells| cells.get(column)).copied().unwrap_or(false)
    }

    /// All free cells, row by row.
    fn cells(&self) -> impl Iterator<Item = Cell> {
        let cells = self.is_free.iter().enumerate().flat_map(|(row, cells)| (0..cells.len()).map(move |c| (row, c)));
        cells.filter(|&cell| self.is_free(cell))
    }

    /// Where `step` leads from `cell`.
    fn after(&self, (row, column): Cell, step: usize) -> Cell {
        let (_, down, right) = MOVES[step];
        let next = row.checked_add_signed(down).zip(column.checked_add_signed(right));
        next.filter(|&next| self.is_free(next)).unwrap_or((row, column))
    }

    fn distance(&self, (row, column): Cell) -> Option<usize> {
        self.distances.get(row).and_then(|cells| cells.get(column)).copied().flatten()
    }

    /// Breadth first from the goal; every move can be taken back, so that it measures the way there as well.
    fn measure_distances(&mut self) {
        let mut queue = VecDeque::from([(self.goal, 0)]);
        while let Some((cell, distance)) = queue.pop_front() {
            let known = &mut self.distances[cell.0][cell.1];
            if known.is_none() {
                *known = Some(distance);
                queue.extend((0..MOVES.len()).map(|step| (self.after(cell, step), distance + 1)));
            }
        }
    }

    /// What is shown in `cell`.
    fn text(&self, cell: Cell) -> String {
        let walls = self.walls(cell);
        match self.observation {
            MazeObservation::Partial => format!("{walls}\n"),
            MazeObservation::Full => {
                let (goal, here) = (position(self.goal), position(cell));
                format!("The goal is at position {goal}. Your current position is at position {here}. {walls}\n")
            }
        }
    }

    fn walls(&self, cell: Cell) -> String {
        let sides: Vec<&str> =
            SIDES.iter().filter(|(_, step)| self.after(cell, *step) == cell).map(|(side, _)| *side).collect();
        match sides.as_slice() {
            [] => "There are no walls near you.".to_owned(),
            [side] => format!("There is a wall {side}."),
            sides => format!("There are walls {}.", sides.join(", ")),
        }
    }
}

/// Which cells of the map are free.
fn free_cells(rows: &[String]) -> Result<Vec<Vec<bool>>, EnvError> {
    let width = rows.first().map_or(0, |row| row.chars().count());
    let fault =
        |row: &str| EnvError::game_value("maze", "map.rows", format!("{row:?}"), "rows of 0 and 1, equally long");
    let free_in = |row: &String| {
        let is_row = row.chars().count() == width && row.chars().all(|sign| matches!(sign, '0' | '1'));
        if is_row { Ok(row.chars().map(|sign| sign == '0').collect()) } else { Err(fault(row)) }
    };
    if rows.is_empty() { Err(fault("")) } else { rows.iter().map(free_in).collect() }
}

/// A cell in words, the digits of a number apart.
fn position((row, column): Cell) -> String {
    let apart = |number: usize| number.to_string().chars().map(String::from).collect::<Vec<_>>().join(" ");
    format!("{}, {}", apart(row), apart(column))
}

impl Game for Maze {
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
        let cell = self.starts[start::index(start, self.starts.len())?];
        self.present = Some((cell, 0));
        Ok(self.text(cell))
    }

    fn act(&mut self, command: &str) -> Turn {
        let (cell, n_steps) = self.present.take().expect(IN_EPISODE);
        if n_steps == self.max_steps {
            return Turn { reward: REWARD_OF_STEP, text: FAILURE.to_owned(), outcome: Outcome::Truncated };
        }
        let step = self.commands.iter().position(|known| known == command);
        let next = step.map_or(cell, |step| self.after(cell, step));
        if next == self.goal {
            return Turn { reward: 0.0, text: SUCCESS.to_owned(), outcome: Outcome::Terminated };
        }
        self.present = Some((next, n_steps + 1));
        let reward = if step.is_some() { REWARD_OF_STEP } else { REWARD_OF_NONSENSE };
        Turn { reward, text: self.text(next), outcome: Outcome::Continues }
    }

    fn suggest(&mut self, player: GamePlayer, rng: &mut ChaCha8Rng) -> usize {
        let (cell, _) = self.present.expect(IN_EPISODE);
        match player.choice(rng) {
            Choice::Random => rng.random_range(0..MOVES.len()),
            // Of several shortest paths the one whose first move comes first among the commands.
            Choice::Skilled | Choice::Expert => (0..MOVES.len())
                .min_by_key(|&step| self.distance(self.after(cell, step)).unwrap_or(usize::MAX))
                .expect("there are four moves"),
        }
    }

    fn texts(&self) -> Vec<String> {
        let ends = [SUCCESS, FAILURE].map(str::to_owned);
        self.cells().map(|cell| self.text(cell)).chain(ends).chain(self.commands.iter().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use dqn_mdp::Seed;
    use serde_json::json;

    use super::super::record;
    use super::*;

    fn maze(value: serde_json::Value) -> Maze {
        Maze::new(&serde_json::from_value(value).unwrap()).unwrap()
    }

    fn partial() -> Maze {
        maze(json!({ "observation": "partial" }))
    }

    #[test]
    fn cells_are_described_as_published() {
        let place = "The goal is at position 8, 6. Your current position is at position";
        for (cell, position, walls) in [
            ((1, 1), "1, 1", "There are walls to your left, above you, below you."),
            ((1, 3), "1, 3", "There is a wall above you."),
            ((1, 5), "1, 5", "There are walls to your right, above you, below you."),
            ((1, 10), "1, 1 0", "There are walls above you, below you."),
            ((3, 9), "3, 9", "There are walls to your right, to your left."),
            ((5, 3), "5, 3", "There are walls to your left, below you."),
            ((5, 6), "5, 6", "There is a wall above you."),
            ((5, 9), "5, 9", "There are walls to your right, below you."),
            ((8, 6), "8, 6", "There are walls to your right, to your left, below you."),
        ] {
            assert_eq!(maze(json!({})).text(cell), format!("{place} {position}. {walls}\n"));
            assert_eq!(partial().text(cell), format!("{walls}\n"));
        }
        let open = json!({ "map": { "own": { "rows": ["000", "000", "000"], "goal": [0, 0] } } });
        assert_eq!(maze(open.clone()).walls((1, 1)), "There are no walls near you.");
        assert_eq!(maze(open).walls((2, 1)), "There is a wall below you.");
    }

    #[test]
    fn a_short_episode_reads_like_this() {
        let mut maze = maze(json!({ "map": { "name": "umaze" } }));
        assert_eq!((maze.n_starts(), maze.cells().count()), (1, 7));
        let shown = |place: &str, walls: &str| {
            format!(
                "The goal is at position 3, 3. Your current position is at position {place}. There are walls {walls}.\n"
            )
        };
        let below = "to your right, to your left, below you";
        assert_eq!(maze.reset(Start::Indexed(0)).unwrap(), shown("3, 1", below));
        for (command, reward, place, walls) in [
            ("move left\n", -1.0, "3, 1", below),
            ("move left", -4.0, "3, 1", below),
            ("jump\n", -4.0, "3, 1", below),
            ("move up\n", -1.0, "2, 1", "to your right, to your left"),
            ("move up\n", -1.0, "1, 1", "to your left, above you"),
            ("move right\n", -1.0, "1, 2", "above you, below you"),
            ("move right\n", -1.0, "1, 3", "to your right, above you"),
            ("move down\n", -1.0, "2, 3", "to your right, to your left"),
        ] {
            let turn = maze.act(command);
            assert_eq!(turn, Turn { reward, text: shown(place, walls), outcome: Outcome::Continues }, "{command:?}");
        }
        let turn = maze.act("move down\n");
        assert_eq!(turn, Turn { reward: 0.0, text: "Success\n".to_owned(), outcome: Outcome::Terminated });
    }

    #[test]
    fn the_command_after_the_limit_fails_even_beside_the_goal() {
        let mut maze = maze(json!({}));
        let beside = maze.starts.iter().position(|&cell| cell == (7, 6)).unwrap();
        for (command, per_step) in [("move left\n", -1.0), ("nonsense", -4.0)] {
            maze.reset(Start::Indexed(beside)).unwrap();
            for _ in 0..100 {
                let turn = maze.act(command);
                assert_eq!((turn.reward, turn.outcome), (per_step, Outcome::Continues));
            }
            let turn = maze.act("move down\n");
            assert_eq!(turn, Turn { reward: -1.0, text: "Failure\n".to_owned(), outcome: Outcome::Truncated });
        }
    }

    #[test]
    fn the_best_policy_returns_minus_6_84() {
        for mut maze in [maze(json!({})), partial()] {
            assert_eq!(maze.n_starts(), 25);
            for player in [GamePlayer::Skilled {}, GamePlayer::Expert {}, GamePlayer::Mixture { skill: 1.0 }] {
                let mut rng = Seed(0).stream("test");
                let returns: Vec<f64> = (0..25)
                    .map(|start| record(&mut maze, player, Start::Indexed(start), &mut rng).unwrap().episode_return())
                    .collect();
                assert_eq!(returns.iter().sum::<f64>() / 25.0, -6.84, "{player:?}");
                assert_eq!(returns.iter().copied().fold(0.0, f64::min), -11.0);
            }
        }
    }

    /// The mean return over the starts of a policy that makes the best move with probability `skill` and else any of
    /// the four, by carrying the probability of each cell through all commands.
    fn exact_return(maze: &Maze, skill: f64) -> f64 {
        let mut mass: BTreeMap<Cell, f64> =
            maze.starts.iter().map(|&start| (start, 1.0 / maze.starts.len() as f64)).collect();
        let mut expected = 0.0;
        for _ in 0..maze.max_steps {
            let mut next: BTreeMap<Cell, f64> = BTreeMap::new();
            for (&cell, &probability) in &mass {
                let best = (0..4).min_by_key(|&step| maze.distance(maze.after(cell, step))).unwrap();
                for step in 0..4 {
                    let share = (1.0 - skill) / 4.0 + if step == best { skill } else { 0.0 };
                    *next.entry(maze.after(cell, step)).or_default() += probability * share;
                }
            }
            next.remove(&maze.goal);
            expected -= next.values().sum::<f64>();
            mass = next;
        }
        // The command after the limit costs 1 and ends the episode.
        expected - mass.values().sum::<f64>()
    }

    #[test]
    fn near_random_play_returns_what_was_computed_elsewhere() {
        // The same recursion in Python gave these, to three digits.
        let maze = maze(json!({}));
        for (skill, expected) in [
            (0.0, -85.893),
            (0.05, -76.172),
            (0.1, -64.128),
            (0.2, -41.218),
            (0.3, -27.120),
            (0.5, -15.244),
            (1.0, -6.840),
        ] {
            let exact = exact_return(&maze, skill);
            assert!((exact - expected).abs() <= 0.0005, "skill {skill}: {exact}");
        }
    }

    #[test]
    fn played_returns_are_those_computed() {
        for (player, skill) in [
            (GamePlayer::Random {}, 0.0),
            (GamePlayer::Mixture { skill: 0.0 }, 0.0),
            (GamePlayer::Mixture { skill: 0.2 }, 0.2),
        ] {
            let mut maze = maze(json!({}));
            let mut rng = Seed(3).stream("test");
            let returns: Vec<f64> = (0..25 * 200)
                .map(|episode| {
                    record(&mut maze, player, Start::Indexed(episode % 25), &mut rng).unwrap().episode_return()
                })
                .collect();
            let n = returns.len() as f64;
            let mean = returns.iter().sum::<f64>() / n;
            let deviation = (returns.iter().map(|found| (found - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
            let exact = exact_return(&maze, skill);
            assert!((mean - exact).abs() < 4.0 * deviation / n.sqrt(), "{player:?}: {mean} instead of {exact}");
            assert!(returns.iter().all(|&found| (-101.0..=0.0).contains(&found)));
        }
    }

    /// How many of the equally likely starts are in each cell, given all that was seen and done.
    type Belief = BTreeMap<Cell, usize>;

    /// What a belief becomes by a move, divided by what is then seen; who is at the goal is done.
    fn beliefs_after(maze: &Maze, belief: &Belief, step: usize) -> Vec<Belief> {
        let mut moved = Belief::new();
        for (&cell, &count) in belief {
            *moved.entry(maze.after(cell, step)).or_default() += count;
        }
        moved.remove(&maze.goal);
        by_observation(maze, &moved)
    }

    fn by_observation(maze: &Maze, belief: &Belief) -> Vec<Belief> {
        let mut parts: BTreeMap<String, Belief> = BTreeMap::new();
        for (&cell, &count) in belief {
            parts.entry(maze.text(cell)).or_default().insert(cell, count);
        }
        parts.into_values().collect()
    }

    #[test]
    fn the_best_policy_that_sees_walls_only_returns_minus_7_24() {
        let maze = partial();
        let initial = by_observation(&maze, &maze.starts.iter().map(|&start| (start, 1)).collect());
        let mut followers: BTreeMap<Belief, Vec<Vec<Belief>>> = BTreeMap::new();
        let mut open = initial.clone();
        while let Some(belief) = open.pop() {
            followers.entry(belief.clone()).or_insert_with(|| {
                let after: Vec<Vec<Belief>> = (0..4).map(|step| beliefs_after(&maze, &belief, step)).collect();
                open.extend(after.iter().flatten().cloned());
                after
            });
        }
        assert_eq!(followers.len(), 44);
        // Moves still to make, summed over the starts of the belief; from below, so that the least fixed point is met.
        let mut moves: BTreeMap<&Belief, usize> = followers.keys().map(|belief| (belief, 0)).collect();
        loop {
            let updated: BTreeMap<&Belief, usize> = followers
                .iter()
                .map(|(belief, after)| {
                    let best = after.iter().map(|parts| parts.iter().map(|part| moves[part]).sum::<usize>()).min();
                    (belief, belief.values().sum::<usize>() + best.unwrap())
                })
                .collect();
            if updated == moves {
                break;
            }
            moves = updated;
        }
        // Every move but the last costs 1.
        let total: usize = initial.iter().map(|belief| moves[belief]).sum();
        assert_eq!(-((total - 25) as f64) / 25.0, -7.24);
    }

    #[test]
    fn starts_are_those_of_the_map_or_all_free_cells() {
        let starts = |value| maze(value).starts;
        assert_eq!(starts(json!({ "map": { "name": "umaze" } })), [(3, 1)]);
        assert_eq!(starts(json!({ "map": { "name": "umaze" }, "starts": "all" })).len(), 6);
        let own = json!({ "rows": ["0000"], "goal": [0, 3], "starts": [[0, 2]] });
        assert_eq!(starts(json!({ "map": { "own": own } })), [(0, 2)]);
        assert_eq!(starts(json!({ "map": { "own": { "rows": ["000"], "goal": [0, 1] } } })), [(0, 0), (0, 2)]);
    }

    #[test]
    fn maps_that_are_no_mazes_are_refused() {
        let message = |value| Maze::new(&serde_json::from_value(value).unwrap()).unwrap_err().to_string();
        let own = |rows: &[&str], goal: [usize; 2]| json!({ "map": { "own": { "rows": rows, "goal": goal } } });
        let rows = "it must be rows of 0 and 1, equally long";
        assert_eq!(message(json!({ "max_steps": 0 })), "the maze has max_steps = 0; it must be at least 1");
        assert_eq!(message(own(&[], [0, 0])), format!("the maze has map.rows = \"\"; {rows}"));
        assert_eq!(message(own(&["00", "0"], [0, 0])), format!("the maze has map.rows = \"0\"; {rows}"));
        assert_eq!(message(own(&["0#"], [0, 0])), format!("the maze has map.rows = \"0#\"; {rows}"));
        for goal in [[0, 1], [4, 0]] {
            let expected =
                format!("the maze has map.goal = ({}, {}); it must be a free cell of the map", goal[0], goal[1]);
            assert_eq!(message(own(&["01"], goal)), expected);
        }
        assert_eq!(message(own(&["01"], [0, 0])), "the environment has no cells to start in; at least one is needed");
        assert_eq!(
            message(own(&["0010"], [0, 0])),
            "the maze has map.starts = (0, 3); it must be free cells beside the goal, from which it can be reached"
        );
        let error = serde_json::from_value::<MazeConfig>(json!({ "map": { "name": "medium" } })).unwrap_err();
        assert!(error.to_string().contains("unknown variant `medium`"), "{error}");
        assert_eq!(serde_json::from_value::<MazeConfig>(json!({})).unwrap(), MazeConfig::default());
    }
}
