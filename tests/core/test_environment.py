from svdjax.core.environment import environment


def test_a_machine_without_git_is_no_obstacle(monkeypatch):
  monkeypatch.setenv('PATH', '')
  assert environment()['git'] is None
