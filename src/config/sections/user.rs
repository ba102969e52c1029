//! The user that the process becomes once it listens.

use nix::unistd;

use crate::config::document::{Located, Report, Reported, quoted};
use crate::config::settings::User;

/// The user of `server.user` and `server.group`. Both are names or numbers; the system need not know
/// the numbers. Without a group, the user's own group is used.
pub fn user(
    user: Option<Located<String>>,
    group: Option<Located<String>>,
    report: &Report,
) -> Result<Option<User>, Reported> {
    let group = group.map(|group| group_id(&group, report).map(|id| (id, group.at))).transpose()?;
    let Some(Located { value: name, at }) = user else {
        return match group {
            None => Ok(None),
            Some((_, at)) => {
                Err(report.problem(&at, "there is no user with it", "write server.user as well"))
            }
        };
    };
    let entry = match name.parse() {
        Ok(number) => unistd::User::from_uid(unistd::Uid::from_raw(number)).ok().flatten(),
        Err(_) => match unistd::User::from_name(&name).ok().flatten() {
            Some(user) => Some(user),
            None => {
                let message = format!("there is no user {} on this machine", quoted(&name));
                return Err(report.problem(&at, message, "create it, or write the number of one"));
            }
        },
    };
    let uid = entry.as_ref().map_or_else(|| name.parse().unwrap_or_default(), |user| user.uid.as_raw());
    if uid == 0 {
        let hint = "write another user, or remove the key to keep the user of the process";
        return Err(report.problem(&at, "root is the user whose rights are given up", hint));
    }
    let gid = match (group, &entry) {
        (Some((gid, _)), _) => gid,
        (None, Some(user)) => user.gid.as_raw(),
        (None, None) => {
            let message = format!("user {uid} is not known on this machine, so its group is not known");
            return Err(report.problem(&at, message, "write server.group as well"));
        }
    };
    Ok(Some(User { name: entry.map(|user| user.name), uid, gid }))
}

fn group_id(group: &Located<String>, report: &Report) -> Result<u32, Reported> {
    if let Ok(number) = group.value.parse() {
        return Ok(number);
    }
    match unistd::Group::from_name(&group.value) {
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        _ => {
            let message = format!("there is no group {} on this machine", quoted(&group.value));
            Err(report.problem(&group.at, message, "create it, or write the number of one"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::document::Location;

    fn resolved(user_name: Option<&str>, group: Option<&str>) -> Result<Option<User>, String> {
        let report = Report::default();
        let located =
            |text: Option<&str>| text.map(|text| Located { value: text.to_owned(), at: Location::nowhere() });
        let user = user(located(user_name), located(group), &report);
        report.finish(user).map(|(user, ..)| user).map_err(|problems| problems.to_string())
    }

    #[test]
    fn a_user_may_be_an_unknown_number_if_the_group_is_given() {
        let expected = User { name: None, uid: 4_000_000_001, gid: 4_000_000_002 };
        assert_eq!(resolved(Some("4000000001"), Some("4000000002")), Ok(Some(expected)));
        assert_eq!(resolved(None, None), Ok(None));
        for (user, group, told) in [
            (
                Some("4000000001"),
                None,
                "user 4000000001 is not known on this machine, so its group is not known",
            ),
            (None, Some("4000000002"), "there is no user with it; write server.user as well"),
            (Some("0"), None, "root is the user whose rights are given up"),
            (Some("root"), None, "root is the user whose rights are given up"),
            (Some("no-such-user"), Some("1"), "there is no user `no-such-user` on this machine"),
            (Some("99999999999"), Some("1"), "there is no user `99999999999` on this machine"),
        ] {
            let problems = resolved(user, group).expect_err(told);
            assert!(problems.starts_with(told), "{user:?} {group:?}: {problems}");
        }
    }
}
