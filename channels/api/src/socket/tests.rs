use std::os::unix::net::UnixListener as StdListener;

use tempfile::TempDir;

use super::*;

fn directory_with_mode(mode: u32) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), Permissions::from_mode(mode)).unwrap();
    directory
}

fn private_directory() -> TempDir {
    directory_with_mode(0o700)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn only_the_owner_reaches_it_and_it_goes_when_it_is_dropped() {
    let directory = private_directory();
    let path = directory.path().join("a/b/our.sock");
    let socket = PrivateSocket::bind(&path).await.unwrap();
    assert_eq!(socket.path(), path);
    assert_eq!(mode(&directory.path().join("a")), 0o700);
    assert_eq!(mode(&directory.path().join("a/b")), 0o700);
    assert_eq!(mode(&path), 0o600);
    drop(socket);
    assert!(!path.exists());
}

#[test]
fn an_empty_directory_is_closed_to_others() {
    let directory = directory_with_mode(0o755);
    create_private_directory(directory.path(), Path::new("mark")).unwrap();
    assert_eq!(mode(directory.path()), 0o700);
}

#[tokio::test]
async fn a_directory_that_we_used_before_is_closed_to_others() {
    let directory = private_directory();
    let path = directory.path().join("our.sock");
    drop(PrivateSocket::bind(&path).await.unwrap());
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    drop(PrivateSocket::bind(&path).await.unwrap());
    assert_eq!(mode(directory.path()), 0o700);
}

#[tokio::test]
async fn an_open_directory_with_other_things_is_refused_and_left_as_it_is() {
    let directory = directory_with_mode(0o755);
    fs::write(directory.path().join("notes"), "").unwrap();
    let path = directory.path().join("our.sock");
    let refused = [
        create_private_directory(directory.path(), Path::new("mark")).unwrap_err(),
        PrivateSocket::bind(&path).await.unwrap_err(),
    ];
    let shown = directory.path().display();
    for error in refused {
        assert!(
            matches!(error, BindError::NotPrivate { mode: 0o755, .. }),
            "{error:?}"
        );
        assert_eq!(
            error.to_string(),
            format!("{shown} is open to other users (mode 755) and has other things in it")
        );
        assert_eq!(
            error.remedy(),
            format!("run `chmod 700 {shown}`, or give the socket a path in another directory")
        );
    }
    assert_eq!(mode(directory.path()), 0o755);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_socket_that_nobody_serves_is_replaced() {
    let directory = private_directory();
    let path = directory.path().join("our.sock");
    drop(StdListener::bind(&path).unwrap());
    assert!(path.exists());
    let socket = PrivateSocket::bind(&path).await.unwrap();
    let (client, accepted) = tokio::join!(UnixStream::connect(&path), socket.accept());
    client.unwrap();
    accepted.unwrap();
}

#[tokio::test]
async fn a_socket_that_somebody_serves_is_left_alone() {
    let directory = private_directory();
    let path = directory.path().join("our.sock");
    let stranger = StdListener::bind(&path).unwrap();
    let error = PrivateSocket::bind(&path).await.unwrap_err();
    assert!(matches!(error, BindError::Taken { .. }), "{error:?}");
    assert!(path.exists());
    drop(stranger);

    let ours = PrivateSocket::bind(&path).await.unwrap();
    let error = PrivateSocket::bind(&path).await.unwrap_err();
    assert!(matches!(error, BindError::Taken { .. }), "{error:?}");
    assert!(path.exists());
    drop(ours);
    drop(PrivateSocket::bind(&path).await.unwrap());
}

// Elsewhere a full queue cannot be told from a socket that nobody serves.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_socket_whose_server_is_too_busy_to_answer_is_left_alone() {
    let directory = private_directory();
    let path = directory.path().join("our.sock");
    let stranger = StdListener::bind(&path).unwrap();
    rustix::net::listen(&stranger, 0).unwrap();
    let mut waiting = Vec::new();
    while let Ok(client) = UnixStream::connect(&path).await {
        waiting.push(client);
    }
    let error = PrivateSocket::bind(&path).await.unwrap_err();
    assert!(matches!(error, BindError::Taken { .. }), "{error:?}");
    assert!(path.exists());
}

#[tokio::test]
async fn what_is_no_socket_is_never_removed() {
    let directory = private_directory();
    let path = directory.path().join("our.sock");
    fs::write(&path, "precious").unwrap();
    let error = PrivateSocket::bind(&path).await.unwrap_err();
    assert!(matches!(error, BindError::NotASocket { .. }), "{error:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn what_others_put_at_its_path_is_not_removed() {
    let directory = private_directory();
    let path = directory.path().join("our.sock");
    let socket = PrivateSocket::bind(&path).await.unwrap();
    fs::remove_file(&path).unwrap();
    let _successor = StdListener::bind(&path).unwrap();
    drop(socket);
    assert!(path.exists());

    fs::remove_file(&path).unwrap();
    let socket = PrivateSocket::bind(&path).await.unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, "precious").unwrap();
    drop(socket);
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn a_path_that_is_too_long_is_refused_before_anything_is_made() {
    let directory = private_directory();
    let long = directory.path().join("x".repeat(120));
    let error = PrivateSocket::bind(&long.join("our.sock"))
        .await
        .unwrap_err();
    assert!(matches!(error, BindError::TooLong { .. }), "{error:?}");
    assert!(!long.exists());
}
