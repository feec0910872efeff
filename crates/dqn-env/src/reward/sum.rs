//! The weighted sum of reward terms.

use std::collections::HashSet;

use dqn_mdp::{MdpError, Reward, TermReward, Trajectory};

use crate::EnvError;
use crate::reward::context::check;

/// A reward term and its share in the sum.
pub struct WeightedTerm {
    /// What the term gives is multiplied by this.
    pub weight: f64,
    /// The term.
    pub reward: Box<dyn Reward>,
}

/// All reward terms of a task.
pub struct RewardSum {
    terms: Vec<WeightedTerm>,
}

impl RewardSum {
    /// The sum of `terms`.
    ///
    /// # Errors
    /// [`EnvError::DuplicateTerm`] for two terms of one name, [`EnvError::TermValue`] for a weight that is not finite.
    pub fn new(terms: Vec<WeightedTerm>) -> Result<Self, EnvError> {
        let mut names = HashSet::new();
        for WeightedTerm { weight, reward } in &terms {
            check(weight.is_finite(), reward.name(), "weight", weight, "finite")?;
            if !names.insert(reward.name()) {
                return Err(EnvError::DuplicateTerm { name: reward.name().to_owned() });
            }
        }
        Ok(Self { terms })
    }

    /// The names of the terms, in the order in which [`Trajectory::term_returns`] lists their shares.
    pub fn names(&self) -> Vec<String> {
        self.terms.iter().map(|term| term.reward.name().to_owned()).collect()
    }

    /// Adds the weighted rewards of all terms to those of `episodes` and writes down each term's share.
    ///
    /// Every term is asked once. What the environment itself gave stays in the rewards, so an episode must not be
    /// judged twice.
    ///
    /// # Errors
    /// When a term fails, answers for another number of episodes or steps, or gives a reward that is not finite; the
    /// episodes are then as they were.
    pub fn judge(&mut self, episodes: &mut [Trajectory]) -> Result<(), MdpError> {
        let mut given = Vec::with_capacity(self.terms.len());
        for WeightedTerm { weight, reward } in &mut self.terms {
            let answer = reward.score(episodes)?;
            check_answer(reward.name(), &answer, episodes)?;
            given.push((*weight, answer));
        }
        for (index, episode) in episodes.iter_mut().enumerate() {
            let mut totals: Vec<f64> = episode.rewards.iter().copied().map(f64::from).collect();
            episode.term_returns.clear();
            for (weight, answer) in &given {
                let steps = &answer[index].steps;
                for (total, &step) in totals.iter_mut().zip(steps) {
                    *total += weight * f64::from(step);
                }
                let sum: f64 = steps.iter().copied().map(f64::from).sum();
                episode.term_returns.push((weight * sum) as f32);
            }
            episode.rewards = totals.into_iter().map(|total| total as f32).collect();
        }
        Ok(())
    }
}

fn check_answer(term: &str, answer: &[TermReward], episodes: &[Trajectory]) -> Result<(), MdpError> {
    let refuse = |message| Err(MdpError::Reward { term: term.to_owned(), message });
    if answer.len() != episodes.len() {
        return refuse(format!("it judged {} episodes; it was asked about {}", answer.len(), episodes.len()));
    }
    for (episode, (given, asked)) in answer.iter().zip(episodes).enumerate() {
        if given.steps.len() != asked.len() {
            let (found, expected) = (given.steps.len(), asked.len());
            return refuse(format!("it gave {found} rewards for episode {episode}, which has {expected} steps"));
        }
        if let Some(step) = given.steps.iter().position(|value| !value.is_finite()) {
            return Err(MdpError::NotFinite { term: term.to_owned(), episode, step, value: given.steps[step] });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reward::test_text::Characters;

    /// Answers with fixed rewards, whatever it is asked, and counts how often.
    struct Fixed {
        name: &'static str,
        answer: Vec<Vec<f32>>,
    }

    impl Reward for Fixed {
        fn name(&self) -> &str {
            self.name
        }

        fn score(&mut self, _: &[Trajectory]) -> Result<Vec<TermReward>, MdpError> {
            Ok(self.answer.iter().map(|steps| TermReward { steps: steps.clone() }).collect())
        }
    }

    fn term(weight: f64, name: &'static str, answer: &[&[f32]]) -> WeightedTerm {
        let answer = answer.iter().map(|steps| steps.to_vec()).collect();
        WeightedTerm { weight, reward: Box::new(Fixed { name, answer }) }
    }

    fn two_episodes() -> Vec<Trajectory> {
        let text = Characters::new("ab");
        vec![text.episode("", "ab"), text.episode("a", "b")]
    }

    #[test]
    fn rewards_add_up_by_weight_and_shares_are_kept() {
        let first = term(0.5, "first", &[&[1.0, 2.0], &[4.0]]);
        let second = term(-2.0, "second", &[&[0.25, 0.0], &[1.0]]);
        let mut sum = RewardSum::new(vec![first, second]).unwrap();
        assert_eq!(sum.names(), ["first", "second"]);
        let mut episodes = two_episodes();
        episodes[1].rewards[0] = 10.0;
        sum.judge(&mut episodes).unwrap();
        assert_eq!(episodes[0].rewards, [0.0, 1.0]);
        assert_eq!(episodes[0].term_returns, [1.5, -0.5]);
        assert_eq!(episodes[1].rewards, [10.0]);
        assert_eq!(episodes[1].term_returns, [2.0, -2.0]);
    }

    #[test]
    fn answers_that_break_the_contract_are_errors_and_change_nothing() {
        let cases: [(&[&[f32]], &str); 3] = [
            (&[&[1.0, 2.0]], "reward term \"bad\" failed: it judged 1 episodes; it was asked about 2"),
            (
                &[&[1.0, 2.0], &[1.0, 2.0]],
                "reward term \"bad\" failed: it gave 2 rewards for episode 1, which has 1 steps",
            ),
            (
                &[&[1.0, f32::NAN], &[1.0]],
                "reward term \"bad\" gave NaN for step 1 of episode 0; rewards must be finite",
            ),
        ];
        for (answer, expected) in cases {
            let good = term(1.0, "good", &[&[1.0, 1.0], &[1.0]]);
            let mut sum = RewardSum::new(vec![good, term(1.0, "bad", answer)]).unwrap();
            let mut episodes = two_episodes();
            assert_eq!(sum.judge(&mut episodes).unwrap_err().to_string(), expected);
            assert_eq!(episodes, two_episodes());
        }
    }

    #[test]
    fn names_are_distinct_and_weights_finite() {
        let message = |terms| RewardSum::new(terms).err().unwrap().to_string();
        assert_eq!(
            message(vec![term(1.0, "a", &[]), term(2.0, "a", &[])]),
            "two reward terms are named \"a\"; give one of them another `name`"
        );
        assert_eq!(message(vec![term(f64::INFINITY, "a", &[])]), "reward term \"a\": weight is inf; it must be finite");
    }

    #[test]
    fn no_terms_leave_the_environment_its_own_rewards() {
        let mut episodes = two_episodes();
        episodes[0].rewards = vec![1.0, 2.0];
        let before = episodes.clone();
        RewardSum::new(Vec::new()).unwrap().judge(&mut episodes).unwrap();
        assert_eq!(episodes, before);
    }
}
