"""What jupyter-ai's persona manager may do in a Jupyter server: no more than the admin says."""

from __future__ import annotations

from typing import Any

from traitlets.config import Config

_EXTENSION = "jupyter_ai_persona_manager"
#: It shows hidden files, and hides others than the defaults do, to everybody who asks this server.
_FORCED = ("allow_hidden", "hide_globs")


class Personas:
    """Made while aidp is linked, which is before jupyter-ai is: extensions come by their names."""

    def __init__(self, serverapp: Any) -> None:
        self._serverapp = serverapp
        section = serverapp.config.get("ContentsManager", {})
        self._said = {name: section[name] for name in _FORCED if name in section}
        if "persona_manager_class" not in serverapp.config.get("PersonaManagerExtension", {}):
            ours = Config()
            ours.PersonaManagerExtension.persona_manager_class = "aidp_ext.ai.chats.manager.AidpPersonaManager"
            serverapp.update_config(ours)

    def confine(self, *, allow_workspace: bool) -> None:
        """Set back what it forced, and unless ``allow_workspace`` keep a workspace's persona files from being run."""
        if not self._serverapp.extension_manager.linked_extensions.get(_EXTENSION):
            return
        self._set_back()
        if not allow_workspace:
            from aidp_ext.ai.chats.manager import close_workspace_personas

            close_workspace_personas()

    def _set_back(self) -> None:
        config, contents = self._serverapp.config, self._serverapp.contents_manager
        section = config["ContentsManager"]
        for name in _FORCED:
            section.pop(name, None)
        section.update(self._said)
        traits = contents.traits()
        for name in _FORCED:
            # the admin may have named a class below; the last one counts, as traitlets has it
            said = [config[kind][name] for kind in contents.section_names() if name in config.get(kind, {})]
            setattr(contents, name, said[-1] if said else traits[name].default(contents))
