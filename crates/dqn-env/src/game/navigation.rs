//! A house in which stale food is to be put into the fridge.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use dqn_mdp::{MdpError, Outcome, Start};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::Direction::{East, North, South, West};
use self::Fixture::{Chest, Fridge, Table};
use self::Room::{Backyard, Bathroom, Bedroom, Dining, Garden, Kitchen, Living, Office};
use super::{Choice, Game, GamePlayer, IN_EPISODE, Play, Turn};
use crate::{EnvError, start};

/// Settings of text navigation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NavigationConfig {
    /// What the player is told. Default `full`: the room and what is carried too.
    pub observation: NavigationObservation,
    /// Whether six things lie about that are of no use. Default true, as in LMRL-Gym; without them there are 17
    /// commands instead of 67, and chance succeeds more often.
    pub distractors: bool,
    /// Allow only commands that do something where the player is. Default false: it has to learn which do.
    pub admissible_only: bool,
    /// Commands after which an episode is cut. Default 15, as in LMRL-Gym.
    #[schemars(range(min = 1))]
    pub max_steps: usize,
    /// What one action is. Default `whole_action`.
    pub play: Play,
}

impl Default for NavigationConfig {
    fn default() -> Self {
        Self {
            observation: NavigationObservation::Full,
            distractors: true,
            admissible_only: false,
            max_steps: 15,
            play: Play::Whole,
        }
    }
}

/// What the player of text navigation is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NavigationObservation {
    /// What the command did, the room, what is carried, what is to be seen, and the exits.
    Full,
    /// What the command did, what is to be seen, and the exits.
    Partial,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Room {
    Bedroom,
    Living,
    Dining,
    Kitchen,
    Garden,
    Backyard,
    Office,
    Bathroom,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    North,
    East,
    South,
    West,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fixture {
    Table,
    Chest,
    Fridge,
}

/// Where a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    Floor(Room),
    /// On the table or in the container of the room.
    Fixture(Room),
    Carried,
    Eaten,
}

/// What is done to what; things are named by their index in [`THINGS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    Go(Direction),
    Open(Fixture),
    Close(Fixture),
    Take(usize),
    TakeFrom(usize, Fixture),
    Put(usize, Fixture),
    Drop(usize),
    Eat(usize),
}

/// All that can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct World {
    room: Room,
    places: [Place; THINGS.len()],
    chest_is_open: bool,
    fridge_is_open: bool,
}

const ROOMS: [Room; 8] = [Bedroom, Living, Dining, Kitchen, Garden, Backyard, Office, Bathroom];
const DIRECTIONS: [Direction; 4] = [North, East, South, West];
const FIXTURES: [Fixture; 3] = [Table, Chest, Fridge];

/// Each pair of neighbours once: the first room, the way from it, and the room there.
const PASSAGES: [(Room, Direction, Room); 8] = [
    (Bedroom, West, Living),
    (Living, West, Dining),
    (Dining, West, Kitchen),
    (Kitchen, North, Garden),
    (Kitchen, West, Backyard),
    (Living, South, Office),
    (Office, East, Bathroom),
    (Bedroom, South, Bathroom),
];

/// The name of each thing, where it is at first, and whether it can be eaten.
const THINGS: [(&str, Place, bool); 7] = [
    ("stale food", Place::Fixture(Living), true),
    ("fresh food", Place::Fixture(Living), true),
    ("bowl", Place::Fixture(Bedroom), false),
    ("coffee cup", Place::Fixture(Dining), false),
    ("plate", Place::Fixture(Dining), false),
    ("utensils", Place::Fixture(Office), false),
    ("fruit", Place::Fixture(Kitchen), true),
];
/// The thing that belongs into the fridge.
const STALE_FOOD: usize = 0;

/// The rooms in which the behaviour of the published logs knows the way, far from the way to the fridge or on it.
const FAR_ROOMS: [Room; 4] = [Office, Bathroom, Garden, Backyard];
const NEAR_ROOMS: [Room; 4] = [Kitchen, Dining, Living, Bedroom];
const PROBABILITY_OF_FAR_ROOMS: f64 = 0.75;

/// A house of eight rooms in which stale food is to be put into the fridge.
///
/// ```text
///                 garden
///                   |
/// backyard  -  kitchen  -  dining room  -  living room  -  bedroom
///                                               |             |
///                                            office  -  bathroom
///
/// shown    full: "You are in the kitchen. You carry bowl. You see a closed fridge. Exits: north, east, west.\n";
///          partial: "You see a closed fridge. Exits: north, east, west.\n"; after a command, what it did stands before
/// command  go north, open fridge, close chest, take bowl, take bowl from table, put bowl on table, insert bowl into
///          fridge, drop bowl, eat fruit, and the like for all things; each with a line break
/// reward   1 when the stale food is in the closed fridge, else 0
/// end      then, and when the stale food is eaten (both terminate); max_steps commands truncate
/// ```
///
/// An episode begins in any room; start `i` is room `i` in the order bedroom, living room, dining room, kitchen,
/// garden, backyard, office, bathroom. The stale food lies on the table in the living room beside fresh food, the
/// fridge and the chest (office) are closed, and five more things lie about that are of no use. A command that cannot
/// be done, and a text that is no command, is answered with "You cannot do that.", changes nothing and counts as a
/// step. The best policy returns 1 from every room and takes at most 9 steps.
///
/// A player that mixes skill with chance shows its skill only in four rooms of the episode, which are drawn when it is
/// first asked: with probability .75 office, bathroom, garden and backyard, else kitchen, dining room, living room and
/// bedroom. There it takes up the walkthrough with the probability of its skill and follows it until it leaves the
/// room. Else it does anything that can be done. With skill .1, that of the published logs, .5 % of its episodes
/// succeed and 15 % eat the stale food; with skill .5 it is 12 % and 16 %.
///
/// Source: the text navigation of Abdulhai et al. 2023, "LMRL Gym", built there with TextWorld (Côté et al. 2018): its
/// rooms, things, goal, commands and behaviour. Differs: the texts are shorter and do not list what can be done.
#[derive(Clone, Debug)]
pub struct Navigation {
    table: Arc<[Command]>,
    commands: Arc<[String]>,
    observation: NavigationObservation,
    distractors: bool,
    admissible_only: bool,
    max_steps: usize,
    /// Commands to the goal from every world that can be reached, as far as they matter for it.
    distances: Arc<HashMap<World, usize>>,
    episode: Option<Episode>,
}

#[derive(Clone, Copy, Debug)]
struct Episode {
    world: World,
    n_steps: usize,
    /// Where a mixed player shows its skill, drawn when it is first asked.
    competent: Option<[Room; 4]>,
    /// The room in which it is following the walkthrough.
    following: Option<Room>,
}

impl NavigationConfig {
    /// The house.
    ///
    /// # Errors
    /// [`EnvError::GameValue`] for a limit of 0 steps.
    pub fn build(&self) -> Result<Box<dyn Game>, EnvError> {
        Ok(Box::new(Navigation::new(self)?))
    }
}

impl Navigation {
    /// The house of these settings.
    ///
    /// # Errors
    /// As [`NavigationConfig::build`].
    pub fn new(config: &NavigationConfig) -> Result<Self, EnvError> {
        if config.max_steps == 0 {
            return Err(EnvError::game_value("navigation", "max_steps", 0, "at least 1"));
        }
        let n_things = if config.distractors { THINGS.len() } else { STALE_FOOD + 1 };
        let table: Arc<[Command]> = all_commands(n_things).into();
        Ok(Self {
            commands: table.iter().map(|command| format!("{}\n", command.text())).collect(),
            distances: Arc::new(distances(&table)),
            table,
            observation: config.observation,
            distractors: config.distractors,
            admissible_only: config.admissible_only,
            max_steps: config.max_steps,
            episode: None,
        })
    }

    /// The indices among [`Game::commands`] of what can be done now.
    ///
    /// # Panics
    /// Outside an episode.
    pub fn admissible(&self) -> Vec<usize> {
        let world = self.episode.expect(IN_EPISODE).world;
        (0..self.table.len()).filter(|&index| world.after(self.table[index]).is_some()).collect()
    }

    /// How an episode begins in `room`.
    fn at(&self, room: Room) -> World {
        let world = World::at(room);
        if self.distractors { world } else { world.essence() }
    }

    /// The next command of a shortest walkthrough; of several the first.
    fn walkthrough(&self, world: World) -> usize {
        let distance_after =
            |index: usize| world.after(self.table[index]).and_then(|next| self.distances.get(&next.essence()));
        (0..self.table.len())
            .min_by_key(|&index| distance_after(index).copied().unwrap_or(usize::MAX))
            .expect("there are commands")
    }

    fn text(&self, did: &str, world: &World) -> String {
        let start = if did.is_empty() { String::new() } else { format!("{did} ") };
        let hidden = match self.observation {
            NavigationObservation::Full => {
                let carried = listed(world.things_in(Place::Carried)).unwrap_or_else(|| "nothing".to_owned());
                format!("You are in the {}. You carry {carried}. ", world.room.name())
            }
            NavigationObservation::Partial => String::new(),
        };
        format!("{start}{hidden}{}\n", world.view())
    }
}

/// All commands for the first `n_things` things.
fn all_commands(n_things: usize) -> Vec<Command> {
    let containers = [Chest, Fridge];
    let of_things = (0..n_things).flat_map(|thing| {
        let with_fixtures = FIXTURES
            .into_iter()
            .flat_map(move |fixture| [Command::TakeFrom(thing, fixture), Command::Put(thing, fixture)]);
        let eaten = THINGS[thing].2.then_some(Command::Eat(thing));
        [Command::Take(thing), Command::Drop(thing)].into_iter().chain(with_fixtures).chain(eaten)
    });
    DIRECTIONS
        .into_iter()
        .map(Command::Go)
        .chain(containers.into_iter().flat_map(|container| [Command::Open(container), Command::Close(container)]))
        .chain(of_things)
        .collect()
}

/// Commands to the goal from the essence of every world that can be reached and from which it can still be met.
fn distances(table: &[Command]) -> HashMap<World, usize> {
    let mut before: HashMap<World, Vec<World>> = HashMap::new();
    let mut open: Vec<World> = ROOMS.iter().map(|&room| World::at(room).essence()).collect();
    let mut goals = VecDeque::new();
    while let Some(world) = open.pop() {
        for next in table.iter().filter_map(|&command| world.after(command)) {
            let is_new = !before.contains_key(&next);
            before.entry(next).or_default().push(world);
            if next.is_won() {
                goals.extend(is_new.then_some((next, 0)));
            } else if is_new {
                open.push(next);
            }
        }
    }
    let mut distances = HashMap::new();
    while let Some((world, distance)) = goals.pop_front() {
        if let std::collections::hash_map::Entry::Vacant(entry) = distances.entry(world) {
            entry.insert(distance);
            goals.extend(before.get(&world).into_iter().flatten().map(|&from| (from, distance + 1)));
        }
    }
    distances
}

impl World {
    /// How an episode begins in `room`, with all things.
    fn at(room: Room) -> Self {
        Self { room, places: THINGS.map(|(_, place, _)| place), chest_is_open: false, fridge_is_open: false }
    }

    /// This world without the things that do not matter for the goal.
    fn essence(mut self) -> Self {
        self.places[STALE_FOOD + 1..].fill(Place::Eaten);
        self
    }

    fn is_won(&self) -> bool {
        self.places[STALE_FOOD] == Place::Fixture(Kitchen) && !self.fridge_is_open
    }

    fn is_lost(&self) -> bool {
        self.places[STALE_FOOD] == Place::Eaten
    }

    /// Whether the table or container of this room is `fixture`, and open.
    fn offers(&self, fixture: Fixture) -> bool {
        self.room.fixture() == Some(fixture)
            && match fixture {
                Table => true,
                Chest => self.chest_is_open,
                Fridge => self.fridge_is_open,
            }
    }

    /// The world after `command`, `None` where it cannot be done.
    fn after(mut self, command: Command) -> Option<Self> {
        let here = self.room;
        let moved = |thing: usize, from: Place, to: Place| {
            let mut world = self;
            let was = std::mem::replace(&mut world.places[thing], to);
            (was == from).then_some(world)
        };
        match command {
            Command::Go(direction) => {
                self.room = here.neighbour(direction)?;
                Some(self)
            }
            Command::Open(fixture) | Command::Close(fixture) => {
                let opens = matches!(command, Command::Open(_));
                let is_open = if fixture == Chest { &mut self.chest_is_open } else { &mut self.fridge_is_open };
                let changes = here.fixture() == Some(fixture) && std::mem::replace(is_open, opens) != opens;
                changes.then_some(self)
            }
            Command::Take(thing) => moved(thing, Place::Floor(here), Place::Carried),
            Command::Drop(thing) => moved(thing, Place::Carried, Place::Floor(here)),
            Command::Eat(thing) => moved(thing, Place::Carried, Place::Eaten),
            Command::TakeFrom(_, fixture) | Command::Put(_, fixture) if !self.offers(fixture) => None,
            Command::TakeFrom(thing, _) => moved(thing, Place::Fixture(here), Place::Carried),
            Command::Put(thing, _) => moved(thing, Place::Carried, Place::Fixture(here)),
        }
    }

    fn things_in(&self, place: Place) -> impl Iterator<Item = &'static str> {
        let pairs = self.places.into_iter().zip(THINGS);
        pairs.filter(move |(found, _)| *found == place).map(|(_, (name, _, _))| name)
    }

    /// What is to be seen, without the name of the room.
    fn view(&self) -> String {
        let things = listed(self.things_in(Place::Fixture(self.room)));
        let seen = self.room.fixture().map(|fixture| match (fixture, things) {
            (Chest | Fridge, _) if !self.offers(fixture) => format!("You see a closed {}. ", fixture.name()),
            (Table, None) => "You see an empty table. ".to_owned(),
            (Table, Some(things)) => format!("You see a table with {things}. "),
            (_, None) => format!("You see an open {} with nothing. ", fixture.name()),
            (_, Some(things)) => format!("You see an open {} with {things}. ", fixture.name()),
        });
        let floor = listed(self.things_in(Place::Floor(self.room))).map(|things| format!("On the floor: {things}. "));
        let ways = DIRECTIONS.into_iter().filter(|&way| self.room.neighbour(way).is_some()).map(Direction::name);
        let exits = ways.collect::<Vec<_>>().join(", ");
        format!("{}{}Exits: {exits}.", seen.unwrap_or_default(), floor.unwrap_or_default())
    }
}

/// Things one after the other, `None` for none.
fn listed(things: impl Iterator<Item = &'static str>) -> Option<String> {
    let things: Vec<&str> = things.collect();
    (!things.is_empty()).then(|| things.join(", "))
}

impl Room {
    fn name(self) -> &'static str {
        match self {
            Bedroom => "bedroom",
            Living => "living room",
            Dining => "dining room",
            Kitchen => "kitchen",
            Garden => "garden",
            Backyard => "backyard",
            Office => "office",
            Bathroom => "bathroom",
        }
    }

    fn fixture(self) -> Option<Fixture> {
        match self {
            Bedroom | Living | Dining => Some(Table),
            Office => Some(Chest),
            Kitchen => Some(Fridge),
            Garden | Backyard | Bathroom => None,
        }
    }

    fn neighbour(self, direction: Direction) -> Option<Room> {
        PASSAGES.into_iter().find_map(|(from, way, to)| match self {
            _ if from == self && way == direction => Some(to),
            _ if to == self && way.opposite() == direction => Some(from),
            _ => None,
        })
    }
}

impl Direction {
    fn name(self) -> &'static str {
        match self {
            North => "north",
            East => "east",
            South => "south",
            West => "west",
        }
    }

    fn opposite(self) -> Self {
        match self {
            North => South,
            East => West,
            South => North,
            West => East,
        }
    }
}

impl Fixture {
    fn name(self) -> &'static str {
        match self {
            Table => "table",
            Chest => "chest",
            Fridge => "fridge",
        }
    }
}

impl Command {
    fn text(self) -> String {
        let name = |thing: usize| THINGS[thing].0;
        match self {
            Self::Go(direction) => format!("go {}", direction.name()),
            Self::Open(fixture) => format!("open {}", fixture.name()),
            Self::Close(fixture) => format!("close {}", fixture.name()),
            Self::Take(thing) => format!("take {}", name(thing)),
            Self::TakeFrom(thing, fixture) => format!("take {} from {}", name(thing), fixture.name()),
            Self::Put(thing, Table) => format!("put {} on table", name(thing)),
            Self::Put(thing, fixture) => format!("insert {} into {}", name(thing), fixture.name()),
            Self::Drop(thing) => format!("drop {}", name(thing)),
            Self::Eat(thing) => format!("eat {}", name(thing)),
        }
    }
}

const CANNOT: &str = "You cannot do that.";
const WON: &str = "The stale food is in the fridge.\n";
const LOST: &str = "You should not have eaten that.\n";

impl Game for Navigation {
    fn allowed(&self) -> Option<Vec<usize>> {
        (self.admissible_only && self.episode.is_some()).then(|| self.admissible())
    }

    fn boxed_clone(&self) -> Box<dyn Game> {
        Box::new(self.clone())
    }

    fn commands(&self) -> &[String] {
        &self.commands
    }

    fn n_starts(&self) -> usize {
        ROOMS.len()
    }

    fn reset(&mut self, start: Start) -> Result<String, MdpError> {
        let world = self.at(ROOMS[start::index(start, ROOMS.len())?]);
        self.episode = Some(Episode { world, n_steps: 0, competent: None, following: None });
        Ok(self.text("", &world))
    }

    fn act(&mut self, command: &str) -> Turn {
        let mut episode = self.episode.take().expect(IN_EPISODE);
        let index = self.commands.iter().position(|known| known == command);
        let next = index.and_then(|index| episode.world.after(self.table[index]));
        if let Some(world) = next.filter(|world| world.is_won() || world.is_lost()) {
            let (reward, text) = if world.is_won() { (1.0, WON) } else { (0.0, LOST) };
            return Turn { reward, text: text.to_owned(), outcome: Outcome::Terminated };
        }
        let did = next.map_or_else(|| CANNOT.to_owned(), |_| format!("You {}.", command.trim_end()));
        episode.world = next.unwrap_or(episode.world);
        episode.n_steps += 1;
        let text = self.text(&did, &episode.world);
        let is_cut = episode.n_steps == self.max_steps;
        if !is_cut {
            self.episode = Some(episode);
        }
        Turn { reward: 0.0, text, outcome: if is_cut { Outcome::Truncated } else { Outcome::Continues } }
    }

    fn suggest(&mut self, player: GamePlayer, rng: &mut ChaCha8Rng) -> usize {
        let episode = self.episode.as_mut().expect(IN_EPISODE);
        let world = episode.world;
        let follows = match player {
            GamePlayer::Mixture { .. } => {
                let draw = || if rng.random_bool(PROBABILITY_OF_FAR_ROOMS) { FAR_ROOMS } else { NEAR_ROOMS };
                let rooms = *episode.competent.get_or_insert_with(draw);
                let follows = episode.following == Some(world.room)
                    || rooms.contains(&world.room) && player.choice(rng) == Choice::Skilled;
                episode.following = follows.then_some(world.room);
                follows
            }
            player => player.choice(rng) != Choice::Random,
        };
        if follows { self.walkthrough(world) } else { self.any_admissible(rng) }
    }

    fn texts(&self) -> Vec<String> {
        let rooms = ROOMS.into_iter().flat_map(|room| {
            let at_first = self.at(room);
            // All things on the floor, all carried, and none to be seen, with what is closed open too.
            let moved = [Place::Floor(room), Place::Carried].into_iter().flat_map(move |place| {
                let is_there = |was: Place| if was == Place::Eaten { was } else { place };
                let moved = World { places: at_first.places.map(is_there), ..at_first };
                [moved, World { chest_is_open: true, fridge_is_open: true, ..moved }]
            });
            let opened = World { chest_is_open: true, fridge_is_open: true, ..at_first };
            [at_first, opened].into_iter().chain(moved).map(|world| self.text("", &world))
        });
        let cannot = self.text(CANNOT, &self.at(Garden));
        let did = self.table.iter().map(|command| format!("You {}.\n", command.text()));
        let answers = [WON, LOST].map(str::to_owned);
        rooms.chain([cannot]).chain(did).chain(answers).chain(self.commands.iter().cloned()).collect()
    }
}

impl Navigation {
    fn any_admissible(&self, rng: &mut ChaCha8Rng) -> usize {
        let admissible = self.admissible();
        admissible[rng.random_range(0..admissible.len())]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use dqn_mdp::Seed;
    use serde_json::json;

    use super::super::record;
    use super::*;

    fn house(value: serde_json::Value) -> Navigation {
        Navigation::new(&serde_json::from_value(value).unwrap()).unwrap()
    }

    fn start_in(room: Room) -> Start {
        Start::Indexed(ROOMS.iter().position(|&known| known == room).unwrap())
    }

    #[test]
    fn the_walkthrough_of_an_episode_reads_like_this() {
        let mut full = house(json!({}));
        let mut partial = house(json!({ "observation": "partial" }));
        let mut rng = Seed(0).stream("test");
        let turns = [
            ("", "You are in the bedroom. You carry nothing. ", "You see a table with bowl. Exits: south, west."),
            (
                "go west",
                "You are in the living room. You carry nothing. ",
                "You see a table with stale food, fresh food. Exits: east, south, west.",
            ),
            (
                "take stale food from table",
                "You are in the living room. You carry stale food. ",
                "You see a table with fresh food. Exits: east, south, west.",
            ),
            (
                "go west",
                "You are in the dining room. You carry stale food. ",
                "You see a table with coffee cup, plate. Exits: east, west.",
            ),
            (
                "go west",
                "You are in the kitchen. You carry stale food. ",
                "You see a closed fridge. Exits: north, east, west.",
            ),
            (
                "open fridge",
                "You are in the kitchen. You carry stale food. ",
                "You see an open fridge with fruit. Exits: north, east, west.",
            ),
            (
                "insert stale food into fridge",
                "You are in the kitchen. You carry nothing. ",
                "You see an open fridge with stale food, fruit. Exits: north, east, west.",
            ),
        ];
        for (command, hidden, view) in turns {
            let (shown, shown_less) = if command.is_empty() {
                (full.reset(start_in(Bedroom)).unwrap(), partial.reset(start_in(Bedroom)).unwrap())
            } else {
                let index = full.suggest(GamePlayer::Expert {}, &mut rng);
                assert_eq!(full.commands()[index], format!("{command}\n"));
                let turn = full.act(&format!("{command}\n"));
                assert_eq!((turn.reward, turn.outcome), (0.0, Outcome::Continues));
                (turn.text, partial.act(&format!("{command}\n")).text)
            };
            let did = if command.is_empty() { String::new() } else { format!("You {command}. ") };
            assert_eq!(shown, format!("{did}{hidden}{view}\n"));
            assert_eq!(shown_less, format!("{did}{view}\n"));
        }
        let turn = full.act("close fridge\n");
        let text = "The stale food is in the fridge.\n".to_owned();
        assert_eq!(turn, Turn { reward: 1.0, text, outcome: Outcome::Terminated });
    }

    #[test]
    fn the_walkthrough_succeeds_from_every_room() {
        for value in [json!({}), json!({ "observation": "partial" }), json!({ "distractors": false })] {
            let mut game = house(value);
            // By hand: the way to the living room, to take, two rooms to the kitchen, to open, insert and close.
            for (room, n_rooms) in [
                (Bedroom, 1),
                (Living, 0),
                (Dining, 1),
                (Kitchen, 2),
                (Garden, 3),
                (Backyard, 3),
                (Office, 1),
                (Bathroom, 2),
            ] {
                let mut rng = Seed(0).stream("test");
                let episode = record(&mut game, GamePlayer::Skilled {}, start_in(room), &mut rng).unwrap();
                assert_eq!((episode.episode_return(), episode.outcome), (1.0, Outcome::Terminated));
                assert_eq!(episode.rewards.len(), n_rooms + 1 + 2 + 3, "{room:?}");
            }
        }
    }

    #[test]
    fn after_any_beginning_the_walkthrough_still_succeeds() {
        let mut game = house(json!({ "max_steps": 1_000 }));
        for seed in 0..200 {
            let mut rng = Seed(seed).stream("test");
            game.reset(Start::Drawn(Seed(seed))).unwrap();
            let mut last = Outcome::Continues;
            let mut reward = 0.0;
            for step in 0..200 {
                let player = if step < 60 { GamePlayer::Random {} } else { GamePlayer::Skilled {} };
                let index = game.suggest(player, &mut rng);
                if step < 60 && game.table[index] == Command::Eat(STALE_FOOD) {
                    continue;
                }
                let turn = game.act(&game.commands()[index].clone());
                (last, reward) = (turn.outcome, turn.reward);
                if last.is_end() {
                    break;
                }
            }
            assert_eq!((last, reward), (Outcome::Terminated, 1.0), "seed {seed}");
        }
    }

    #[test]
    fn eating_the_stale_food_fails_and_eating_something_else_does_not() {
        let mut game = house(json!({}));
        game.reset(start_in(Living)).unwrap();
        game.act("take fresh food from table\n");
        let turn = game.act("eat fresh food\n");
        assert_eq!((turn.reward, turn.outcome), (0.0, Outcome::Continues));
        game.act("take stale food from table\n");
        let turn = game.act("eat stale food\n");
        let text = "You should not have eaten that.\n".to_owned();
        assert_eq!(turn, Turn { reward: 0.0, text, outcome: Outcome::Terminated });
    }

    #[test]
    fn what_can_be_done_depends_on_what_is_there() {
        let mut game = house(json!({}));
        game.reset(start_in(Kitchen)).unwrap();
        for (command, expected) in [
            ("", "go north, go east, go west, open fridge"),
            ("open fridge", "go north, go east, go west, close fridge, take fruit from fridge"),
            (
                "take fruit from fridge",
                "go north, go east, go west, close fridge, drop fruit, insert fruit into fridge, eat fruit",
            ),
            ("close fridge", "go north, go east, go west, open fridge, drop fruit, eat fruit"),
            ("drop fruit", "go north, go east, go west, open fridge, take fruit"),
            ("go west", "go east"),
        ] {
            if !command.is_empty() {
                game.act(&format!("{command}\n"));
            }
            let can: Vec<&str> = game.admissible().into_iter().map(|index| game.commands()[index].trim_end()).collect();
            assert_eq!(can.join(", "), expected, "after {command:?}");
        }
        for impossible in ["go north\n", "take fruit\n", "close fridge\n", "dance\n", "go east"] {
            let turn = game.act(impossible);
            assert_eq!(
                turn.text, "You cannot do that. You are in the backyard. You carry nothing. Exits: east.\n",
                "{impossible:?}"
            );
            assert_eq!(turn.outcome, Outcome::Continues);
        }
    }

    #[test]
    fn the_fifteenth_command_truncates_unless_it_wins() {
        let mut game = house(json!({}));
        game.reset(start_in(Backyard)).unwrap();
        for step in 1..=15 {
            let turn = game.act("dance\n");
            let outcome = if step == 15 { Outcome::Truncated } else { Outcome::Continues };
            assert_eq!((turn.reward, turn.outcome), (0.0, outcome));
        }
        let mut game = house(json!({ "max_steps": 6 }));
        let mut rng = Seed(0).stream("test");
        let episode = record(&mut game, GamePlayer::Skilled {}, start_in(Living), &mut rng).unwrap();
        assert_eq!((episode.episode_return(), episode.outcome), (1.0, Outcome::Terminated));
    }

    #[test]
    fn passages_lead_both_ways_and_commands_are_distinct() {
        for room in ROOMS {
            for direction in DIRECTIONS {
                if let Some(next) = room.neighbour(direction) {
                    assert_eq!(next.neighbour(direction.opposite()), Some(room));
                }
            }
        }
        let game = house(json!({}));
        let distinct: HashSet<&String> = game.commands().iter().collect();
        let bare = house(json!({ "distractors": false }));
        assert_eq!(bare.commands().len(), 4 + 4 + 8 + 1);
        // Four ways, two containers to open and close, seven things with eight commands, three of them to eat.
        assert_eq!((game.commands().len(), distinct.len()), (4 + 4 + 7 * 8 + 3, 67));
    }

    #[test]
    fn the_published_behaviour_seldom_succeeds() {
        let n_episodes = 20_000;
        for (skill, won, lost) in [(0.1, 0.0046, 0.148), (0.5, 0.123, 0.162)] {
            let mut game = house(json!({}));
            let mut rng = Seed(1).stream("test");
            let (mut n_won, mut n_lost) = (0, 0);
            for seed in 0..n_episodes {
                let start = Start::Drawn(Seed(seed));
                let episode = record(&mut game, GamePlayer::Mixture { skill }, start, &mut rng).unwrap();
                let is_won = episode.episode_return() == 1.0;
                n_won += u64::from(is_won);
                n_lost += u64::from(!is_won && episode.outcome == Outcome::Terminated);
            }
            for (count, expected) in [(n_won, won), (n_lost, lost)] {
                let share = count as f64 / n_episodes as f64;
                let error = (expected * (1.0 - expected) / n_episodes as f64).sqrt();
                assert!((share - expected).abs() < 4.0 * error, "skill {skill}: {share} instead of {expected}");
            }
        }
    }

    #[test]
    fn skill_shows_in_the_rooms_of_the_episode_only() {
        let mut game = house(json!({}));
        let mut n_far = 0;
        for seed in 0..2_000 {
            let mut rng = Seed(seed).stream("test");
            game.reset(Start::Drawn(Seed(seed))).unwrap();
            let index = game.suggest(GamePlayer::Mixture { skill: 1.0 }, &mut rng);
            let episode = game.episode.unwrap();
            let rooms = episode.competent.unwrap();
            n_far += usize::from(rooms == FAR_ROOMS);
            if rooms.contains(&episode.world.room) {
                assert_eq!(index, game.walkthrough(episode.world));
            }
            // Rooms stay what they are, and what is being followed is followed without a draw.
            let again = game.suggest(GamePlayer::Mixture { skill: 0.0 }, &mut rng);
            assert_eq!(game.episode.unwrap().competent, Some(rooms));
            assert!(again == index || !rooms.contains(&episode.world.room));
        }
        // Four standard errors of 2,000 draws with probability .75 are .039.
        assert!((n_far as f64 / 2_000.0 - 0.75).abs() < 0.039, "{n_far}");
    }

    #[test]
    fn settings_are_read_and_checked() {
        let read = |value| serde_json::from_value::<NavigationConfig>(value).unwrap();
        assert_eq!(read(json!({})), NavigationConfig::default());
        assert_eq!(read(json!({ "observation": "partial" })).observation, NavigationObservation::Partial);
        let error = Navigation::new(&read(json!({ "max_steps": 0 }))).unwrap_err().to_string();
        assert_eq!(error, "the navigation has max_steps = 0; it must be at least 1");
    }
}
