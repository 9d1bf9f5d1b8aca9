"""The studio: a page on which a plan is designed and runs are watched. NiceGUI loads when the page is served."""

from warmdown.app.studio.notebook import studio as studio
