"""Campaigns: many trainings as values, run by any executor and resumed after a crash."""

from __future__ import annotations

from madminer.campaign.campaign import Campaign, CampaignStatus
from madminer.campaign.training import Outcome, Training, load_trainings

__all__ = ["Campaign", "CampaignStatus", "Outcome", "Training", "load_trainings"]
