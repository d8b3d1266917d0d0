//! Who a container's program runs as, looked up in the container's own /etc/passwd and /etc/group.

use crate::failure::{Code, Failure, Outcome};
use serde::Deserialize;

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    pub home: String,
}

struct Passwd<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

fn passwd_lines(text: &str) -> impl Iterator<Item = Passwd<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _, uid, gid, _) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?, fields.next());
        Some(Passwd { name, uid: uid.parse().ok()?, gid: gid.parse().ok()?, home: fields.next().unwrap_or("") })
    })
}

/// Name, number, members.
fn group_lines(text: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _, gid) = (fields.next()?, fields.next()?, fields.next()?);
        Some((name, gid.parse().ok()?, fields.next().unwrap_or("")))
    })
}

/// `user` as in an image's configuration: "", `name`, `uid`, `user:group`. Numbers need no entry; names do.
pub fn look_up(user: &str, passwd: &str, group: &str, supplemental: &[u32]) -> Outcome<Identity> {
    let (user, group_name) = match user.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (user, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let entry = passwd_lines(passwd).find(|line| line.name == user).or_else(|| {
        let uid: u32 = user.parse().ok()?;
        passwd_lines(passwd).find(|line| line.uid == uid)
    });
    let uid = match (&entry, user.parse()) {
        (Some(line), _) => line.uid,
        (None, Ok(uid)) => uid,
        (None, Err(_)) => {
            return Err(Failure::new(Code::UserNotFound, format!("user {user:?} is not in the image's /etc/passwd")));
        }
    };
    let gid = match group_name {
        None => entry.as_ref().map_or(0, |line| line.gid),
        Some(name) => match group_lines(group).find(|line| line.0 == name).map(|line| line.1).or(name.parse().ok()) {
            Some(gid) => gid,
            None => {
                let message = format!("group {name:?} is not in the image's /etc/group");
                return Err(Failure::new(Code::UserNotFound, message));
            }
        },
    };
    let mut groups = Vec::new();
    // As Docker: an explicit group leaves out those the user is a member of.
    if let (Some(line), None) = (&entry, group_name) {
        groups.extend(
            group_lines(group).filter(|(_, _, members)| members.split(',').any(|m| m == line.name)).map(|g| g.1),
        );
    }
    groups.extend_from_slice(supplemental);
    groups.push(gid);
    groups.sort_unstable();
    groups.dedup();
    let home = entry.map(|line| line.home).filter(|home| !home.is_empty()).unwrap_or("/").to_owned();
    Ok(Identity { uid, gid, groups, home })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:web:/srv:/bin/false\n1000:x:7:8::/odd:\nbroken\n";
    const GROUP: &str = "root:x:0:\nwww:x:34:\nlogs:x:50:web,other\nmore:x:51:other,web\n";

    fn who(user: &str) -> Outcome<(u32, u32, Vec<u32>, String)> {
        look_up(user, PASSWD, GROUP, &[]).map(|found| (found.uid, found.gid, found.groups, found.home))
    }

    #[test]
    fn users_and_groups_are_found_by_name_and_number() {
        assert_eq!(who("").unwrap(), (0, 0, vec![0], "/root".into()));
        assert_eq!(who("web").unwrap(), (33, 34, vec![34, 50, 51], "/srv".into()));
        assert_eq!(who("33").unwrap(), (33, 34, vec![34, 50, 51], "/srv".into()));
        assert_eq!(who("web:logs").unwrap(), (33, 50, vec![50], "/srv".into()));
        assert_eq!(who("web:99").unwrap(), (33, 99, vec![99], "/srv".into()));
        assert_eq!(who("4242").unwrap(), (4242, 0, vec![0], "/".into()));
        assert_eq!(who("4242:4343").unwrap(), (4242, 4343, vec![4343], "/".into()));
        // A name that looks like a number wins over the number, as in Docker.
        assert_eq!(who("1000").unwrap(), (7, 8, vec![8], "/odd".into()));
    }

    #[test]
    fn names_that_are_not_there_are_refused() {
        assert_eq!(who("nobody").unwrap_err().code, Code::UserNotFound);
        assert_eq!(who("web:nogroup").unwrap_err().code, Code::UserNotFound);
    }

    #[test]
    fn supplemental_groups_are_added() {
        assert_eq!(look_up("33:34", PASSWD, GROUP, &[7, 34]).unwrap().groups, vec![7, 34]);
    }
}
